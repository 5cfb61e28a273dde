//! What is where: guest frames, memory maps, resources.

use super::RdmFlags;
use crate::abi::CompatU64;
use crate::layout::structs;
use crate::plain::Union;

structs! {
    /// Puts something at a guest frame.
    struct AddToPhysmap<A> = "struct xen_add_to_physmap" {
        /// Whose frame.
        domid: u16,
        /// How many, for [`MAPSPACE_GMFN_RANGE`](super::MAPSPACE_GMFN_RANGE).
        size: u16,
        /// `MAPSPACE_*`.
        space: u32,
        /// What, as the space numbers it.
        idx: A::Ulong,
        /// Where.
        gpfn: A::Ulong,
    }

    /// Puts several things at guest frames.
    struct AddToPhysmapBatch<A> = "struct xen_add_to_physmap_batch" {
        /// Whose frames.
        domid: u16,
        /// `MAPSPACE_*`.
        space: u16,
        /// Length of the arrays.
        size: u16,
        /// For [`MAPSPACE_GMFN_FOREIGN`](super::MAPSPACE_GMFN_FOREIGN), the domain that has the memory; 0 else.
        foreign_domid: u16 = "u.foreign_domid",
        /// In: array of what (`xen_ulong_t`).
        idxs: A::Handle,
        /// In: array of where (`xen_pfn_t`).
        gpfns: A::Handle,
        /// Out: array of results (`int`), 0 or a negative error.
        errs: A::Handle,
    }

    /// Removes what is at a guest frame.
    struct RemoveFromPhysmap<A> = "struct xen_remove_from_physmap" {
        /// Whose frame.
        domid: u16,
        _pad: A::Pick<[u8; 6], [u8; 2]>,
        /// The frame.
        gpfn: A::Ulong,
    }

    /// A memory map: an array of entries as the BIOS call E820 has them.
    struct MemoryMap<A> = "struct xen_memory_map" {
        /// In: the array's room; out: entries filled.
        nr_entries: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        /// Array of [`E820Entry`](super::E820Entry).
        buffer: A::Handle,
    }

    /// An entry of a memory map: 20 bytes, in no header of Xen's but fixed by the BIOS call.
    struct E820Entry = "struct e820_entry" {
        /// Where the range starts.
        addr: CompatU64,
        /// Size in bytes.
        size: CompatU64,
        /// As [`MEMMAP_TYPE_RAM`](crate::start_info::MEMMAP_TYPE_RAM) and its neighbours.
        kind: u32 = "type",
    }

    /// Sets another domain's memory map.
    struct ForeignMemoryMap<A> = "struct xen_foreign_memory_map" {
        /// The domain.
        domid: u16,
        _pad: A::Pick<[u8; 6], [u8; 2]>,
        /// The map.
        map: MemoryMap<A>,
    }

    /// Maps pages that the hypervisor keeps for a domain.
    struct AcquireResource<A> = "struct xen_mem_acquire_resource" {
        /// In: the domain.
        domid: u16,
        /// In: `RESOURCE_*`.
        kind: u16 = "type",
        /// In: which of that kind.
        id: u32,
        /// In: frames wanted; out, if that is 0 and there is no list: how many there are.
        nr_frames: u32,
        /// Zero.
        pad: u32,
        /// In: the first one wanted.
        frame: A::U64,
        /// In: array of the guest frames where they go (`xen_pfn_t`).
        frame_list: A::Handle,
    }

    /// Memory that a device must reach at its machine address.
    struct ReservedDeviceMemory<A> = "struct xen_reserved_device_memory" {
        /// The first frame.
        start_pfn: A::Ulong,
        /// How many.
        nr_pages: A::Ulong,
    }

    /// Lists such memory.
    struct ReservedDeviceMemoryMap<A> = "struct xen_reserved_device_memory_map" {
        /// In: options.
        flags: RdmFlags,
        /// In: the array's room; out: entries needed.
        nr_entries: u32,
        /// Out: array of [`ReservedDeviceMemory`].
        buffer: A::Handle,
        /// In: the device: a [`PciDevice`](crate::physdev::PciDevice).
        dev: Union<[u32; 1]>,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// A range of a virtual NUMA node.
    struct Vmemrange<A> = "struct xen_vmemrange" {
        /// First byte.
        start: A::U64,
        /// Byte after the last.
        end: A::U64,
        /// Zero.
        flags: u32,
        /// The node.
        nid: u32,
    }

    /// The caller's virtual NUMA topology.
    struct VnumaTopologyInfo<A> = "struct xen_vnuma_topology_info" {
        /// In: the domain.
        domid: u16,
        /// Zero.
        pad: u16,
        /// In: room; out: nodes.
        nr_vnodes: u32,
        /// In: room; out: vCPUs.
        nr_vcpus: u32,
        /// In: room; out: memory ranges.
        nr_vmemranges: u32,
        /// Out: array of distances (`u32`), nodes × nodes. A 32-bit caller's handle is the low half.
        vdistance: A::U64,
        /// Out: array of each vCPU's node (`u32`).
        vcpu_to_vnode: A::U64,
        /// Out: array of [`Vmemrange`].
        vmemrange: A::U64,
    }
}

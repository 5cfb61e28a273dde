//! Operations, memory flags, spaces and resources.

use crate::layout::{constants, flags};

constants! {
    /// [`Reservation`](super::Reservation): adds memory without guest frames.
    INCREASE_RESERVATION: u32 = 0, "XENMEM_increase_reservation";
    /// [`Reservation`](super::Reservation): gives memory back.
    DECREASE_RESERVATION: u32 = 1, "XENMEM_decrease_reservation";
    /// Returns the machine's highest frame number; no argument.
    MAXIMUM_RAM_PAGE: u32 = 2, "XENMEM_maximum_ram_page";
    /// Returns the pages that a domain has; its id (`u16`).
    CURRENT_RESERVATION: u32 = 3, "XENMEM_current_reservation";
    /// Returns the pages that a domain may have; its id (`u16`).
    MAXIMUM_RESERVATION: u32 = 4, "XENMEM_maximum_reservation";
    /// PV only.
    MACHPHYS_MFN_LIST: u32 = 5, "XENMEM_machphys_mfn_list";
    /// [`Reservation`](super::Reservation): puts memory at guest frames.
    POPULATE_PHYSMAP: u32 = 6, "XENMEM_populate_physmap";
    /// [`AddToPhysmap`](super::AddToPhysmap).
    ADD_TO_PHYSMAP: u32 = 7, "XENMEM_add_to_physmap";
    /// [`MemoryMap`](super::MemoryMap): the caller's.
    MEMORY_MAP: u32 = 9, "XENMEM_memory_map";
    /// [`MemoryMap`](super::MemoryMap): the machine's.
    MACHINE_MEMORY_MAP: u32 = 10, "XENMEM_machine_memory_map";
    /// [`Exchange`](super::Exchange).
    EXCHANGE: u32 = 11, "XENMEM_exchange";
    /// PV only.
    MACHPHYS_MAPPING: u32 = 12, "XENMEM_machphys_mapping";
    /// [`ForeignMemoryMap`](super::ForeignMemoryMap).
    SET_MEMORY_MAP: u32 = 13, "XENMEM_set_memory_map";
    /// Returns a domain's highest guest frame number; its id (`u16`).
    MAXIMUM_GPFN: u32 = 14, "XENMEM_maximum_gpfn";
    /// [`RemoveFromPhysmap`](super::RemoveFromPhysmap).
    REMOVE_FROM_PHYSMAP: u32 = 15, "XENMEM_remove_from_physmap";
    /// [`PodTarget`](super::PodTarget).
    SET_POD_TARGET: u32 = 16, "XENMEM_set_pod_target";
    /// [`PodTarget`](super::PodTarget).
    GET_POD_TARGET: u32 = 17, "XENMEM_get_pod_target";
    /// Returns the pages that sharing saved; no argument.
    GET_SHARING_FREED_PAGES: u32 = 18, "XENMEM_get_sharing_freed_pages";
    /// Returns the pages that are shared; no argument.
    GET_SHARING_SHARED_PAGES: u32 = 19, "XENMEM_get_sharing_shared_pages";
    /// Paging to disk.
    PAGING_OP: u32 = 20, "XENMEM_paging_op";
    /// Access rights of guest frames.
    ACCESS_OP: u32 = 21, "XENMEM_access_op";
    /// Sharing of frames.
    SHARING_OP: u32 = 22, "XENMEM_sharing_op";
    /// [`AddToPhysmapBatch`](super::AddToPhysmapBatch).
    ADD_TO_PHYSMAP_BATCH: u32 = 23, "XENMEM_add_to_physmap_batch";
    /// [`Reservation`](super::Reservation): sets pages aside for a domain that is being built.
    CLAIM_PAGES: u32 = 24, "XENMEM_claim_pages";
    /// PV only.
    MACHPHYS_COMPAT_MFN_LIST: u32 = 25, "XENMEM_machphys_compat_mfn_list";
    /// [`VnumaTopologyInfo`](super::VnumaTopologyInfo).
    GET_VNUMAINFO: u32 = 26, "XENMEM_get_vnumainfo";
    /// [`ReservedDeviceMemoryMap`](super::ReservedDeviceMemoryMap).
    RESERVED_DEVICE_MEMORY_MAP: u32 = 27, "XENMEM_reserved_device_memory_map";
    /// [`AcquireResource`](super::AcquireResource).
    ACQUIRE_RESOURCE: u32 = 28, "XENMEM_acquire_resource";

    /// The shared info page.
    MAPSPACE_SHARED_INFO: u32 = 0, "XENMAPSPACE_shared_info";
    /// A page of the grant table; with [`MAPIDX_GRANT_TABLE_STATUS`], of its status.
    MAPSPACE_GRANT_TABLE: u32 = 1, "XENMAPSPACE_grant_table";
    /// A guest frame of the domain itself.
    MAPSPACE_GMFN: u32 = 2, "XENMAPSPACE_gmfn";
    /// As many guest frames as `size` says.
    MAPSPACE_GMFN_RANGE: u32 = 3, "XENMAPSPACE_gmfn_range";
    /// A guest frame of another domain; only in batches.
    MAPSPACE_GMFN_FOREIGN: u32 = 4, "XENMAPSPACE_gmfn_foreign";
    /// A device's memory, mapped where it is.
    MAPSPACE_DEV_MMIO: u32 = 5, "XENMAPSPACE_dev_mmio";
    /// Marks an index of [`MAPSPACE_GRANT_TABLE`] as one of the status frames.
    MAPIDX_GRANT_TABLE_STATUS: u32 = 0x8000_0000, "XENMAPIDX_grant_table_status";

    /// Pages of an ioreq server.
    RESOURCE_IOREQ_SERVER: u16 = 0, "XENMEM_resource_ioreq_server";
    /// Pages of a domain's grant table.
    RESOURCE_GRANT_TABLE: u16 = 1, "XENMEM_resource_grant_table";
    /// A vCPU's processor trace.
    RESOURCE_VMTRACE_BUF: u16 = 2, "XENMEM_resource_vmtrace_buf";
    /// Resource id: the grant entries.
    RESOURCE_GRANT_TABLE_ID_SHARED: u32 = 0, "XENMEM_resource_grant_table_id_shared";
    /// Resource id: version 2's status words.
    RESOURCE_GRANT_TABLE_ID_STATUS: u32 = 1, "XENMEM_resource_grant_table_id_status";
}

/// Where the number of extents done before begins in the op. In no public header, but fixed: the numbers of
/// operations stay below `1 << EXTENT_SHIFT`.
pub const EXTENT_SHIFT: u32 = 6;

flags! {
    /// How memory is to be allocated (`XENMEMF_*`). The low 8 bits are an address width in bits (0: any), the
    /// next 8 a NUMA node plus 1 (0: any).
    struct MemFlags: u32 {
        /// The address width.
        const ADDRESS_BITS = 0xff, "XENMEMF_get_address_bits(~0u)";
        /// The node plus 1.
        const NODE = 0xff << 8, "XENMEMF_node(0xfe)";
        /// Populate on demand.
        const POPULATE_ON_DEMAND = 1 << 16, "XENMEMF_populate_on_demand";
        /// That node or none.
        const EXACT_NODE_REQUEST = 1 << 17, "XENMEMF_exact_node_request";
        /// The node is a virtual one.
        const VNODE = 1 << 18, "XENMEMF_vnode";
    }

    /// [`ReservedDeviceMemoryMap::flags`](super::ReservedDeviceMemoryMap::flags).
    struct RdmFlags: u32 {
        /// All regions, whatever the device.
        const ALL = 1, "XENMEM_RDM_ALL";
    }
}

//! Arguments of the operations.

use super::{CacheOps, CopyFlags, MapFlags};
use crate::abi::{Abi, Word};
use crate::layout::structs;

structs! {
    /// Maps another domain's page.
    struct MapGrantRef = "struct gnttab_map_grant_ref" {
        /// In: where; guest-physical for PVH and HVM guests.
        host_addr: u64,
        /// In: how.
        flags: MapFlags,
        /// In: the other domain's grant.
        gref: u32 = "ref",
        /// In: the other domain.
        dom: u16,
        /// Out: `STATUS_*`.
        status: i16,
        /// Out: what unmapping needs.
        handle: u32,
        /// Out: the address for devices.
        dev_bus_addr: u64,
    }

    /// Unmaps such a page.
    struct UnmapGrantRef = "struct gnttab_unmap_grant_ref" {
        /// In: where it is mapped; 0 leaves that mapping.
        host_addr: u64,
        /// In: its address for devices; 0 leaves that mapping.
        dev_bus_addr: u64,
        /// In: as mapping gave it.
        handle: u32,
        /// Out: `STATUS_*`.
        status: i16,
        _pad: [u8; 2],
    }

    /// Makes a domain's table at least so large, and lists its frames.
    struct SetupTable<A> = "struct gnttab_setup_table" {
        /// In: whose table.
        dom: u16,
        _pad0: [u8; 2],
        /// In: pages wanted.
        nr_frames: u32,
        /// Out: `STATUS_*`.
        status: i16,
        _pad1: A::Pick<[u8; 6], [u8; 2]>,
        /// Out: array of frames (`xen_pfn_t`).
        frame_list: A::Handle,
    }

    /// Writes a domain's table to the log.
    struct DumpTable = "struct gnttab_dump_table" {
        /// In: whose table.
        dom: u16,
        /// Out: `STATUS_*`.
        status: i16,
    }

    /// Gives a page away.
    struct Transfer<A> = "struct gnttab_transfer" {
        /// In: the caller's frame.
        mfn: A::Ulong,
        /// In: to whom.
        domid: u16,
        _pad0: [u8; 2],
        /// In: that domain's grant for it.
        gref: u32 = "ref",
        /// Out: `STATUS_*`.
        status: i16,
        _pad1: A::Pick<[u8; 6], [u8; 2]>,
    }

    /// One end of a copy.
    struct CopyPtr<A> = "struct gnttab_copy_ptr" {
        /// A grant (low 32 bits) or a guest frame. See [`CopyPtr::gref`].
        u: A::Ulong,
        /// Whose.
        domid: u16,
        /// Where in the page, in bytes.
        offset: u16,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// Copies bytes within a page each.
    struct Copy<A> = "struct gnttab_copy" {
        /// In: from where.
        source: CopyPtr<A>,
        /// In: to where.
        dest: CopyPtr<A>,
        /// In: how many bytes.
        len: u16,
        /// In: what the ends are.
        flags: CopyFlags,
        /// Out: `STATUS_*`.
        status: i16,
        _pad: [u8; 2],
    }

    /// Asks how large a domain's table is.
    struct QuerySize = "struct gnttab_query_size" {
        /// In: whose table.
        dom: u16,
        _pad0: [u8; 2],
        /// Out: pages now.
        nr_frames: u32,
        /// Out: pages at most.
        max_nr_frames: u32,
        /// Out: `STATUS_*`.
        status: i16,
        _pad1: [u8; 2],
    }

    /// Unmaps a page and moves another page's mapping there.
    struct UnmapAndReplace = "struct gnttab_unmap_and_replace" {
        /// In: where it is mapped.
        host_addr: u64,
        /// In: where the other mapping is.
        new_addr: u64,
        /// In: as mapping gave it.
        handle: u32,
        /// Out: `STATUS_*`.
        status: i16,
        _pad: [u8; 2],
    }

    /// Chooses the version of the caller's table.
    struct SetVersion = "struct gnttab_set_version" {
        /// In: 1 or 2; out: what it is now.
        version: u32,
    }

    /// Lists the frames of version 2's status words.
    struct GetStatusFrames<A> = "struct gnttab_get_status_frames" {
        /// In: frames wanted.
        nr_frames: u32,
        /// In: whose table.
        dom: u16,
        /// Out: `STATUS_*`.
        status: i16,
        /// Out: array of frames (`u64`).
        frame_list: A::Handle,
    }

    /// Asks for the version of a domain's table.
    struct GetVersion = "struct gnttab_get_version" {
        /// In: whose table.
        dom: u16,
        /// Zero.
        pad: u16,
        /// Out: 1 or 2.
        version: u32,
    }

    /// Swaps two of the caller's entries.
    struct SwapGrantRef = "struct gnttab_swap_grant_ref" {
        /// In: one.
        ref_a: u32,
        /// In: the other.
        ref_b: u32,
        /// Out: `STATUS_*`.
        status: i16,
        _pad: [u8; 2],
    }

    /// Writes back or invalidates caches for a granted page.
    struct CacheFlush = "struct gnttab_cache_flush" {
        /// The address for devices, or a grant (low 32 bits).
        a: u64,
        /// Where in the page, in bytes.
        offset: u16,
        /// How many bytes.
        length: u16,
        /// What to do.
        op: CacheOps,
    }
}

impl<A: Abi> CopyPtr<A> {
    /// The end as a grant; only the union's first 32 bits count.
    #[must_use]
    pub fn gref(&self) -> u32 {
        self.u.get() as u32
    }

    /// The end as a guest frame number.
    #[must_use]
    pub fn gmfn(&self) -> u64 {
        self.u.get()
    }
}

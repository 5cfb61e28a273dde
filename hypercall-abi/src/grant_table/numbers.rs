//! Operations, results and options.

use crate::layout::{constants, flags};

constants! {
    /// [`MapGrantRef`](super::MapGrantRef).
    OP_MAP_GRANT_REF: u32 = 0, "GNTTABOP_map_grant_ref";
    /// [`UnmapGrantRef`](super::UnmapGrantRef).
    OP_UNMAP_GRANT_REF: u32 = 1, "GNTTABOP_unmap_grant_ref";
    /// [`SetupTable`](super::SetupTable).
    OP_SETUP_TABLE: u32 = 2, "GNTTABOP_setup_table";
    /// [`DumpTable`](super::DumpTable).
    OP_DUMP_TABLE: u32 = 3, "GNTTABOP_dump_table";
    /// [`Transfer`](super::Transfer).
    OP_TRANSFER: u32 = 4, "GNTTABOP_transfer";
    /// [`Copy`](super::Copy).
    OP_COPY: u32 = 5, "GNTTABOP_copy";
    /// [`QuerySize`](super::QuerySize).
    OP_QUERY_SIZE: u32 = 6, "GNTTABOP_query_size";
    /// [`UnmapAndReplace`](super::UnmapAndReplace).
    OP_UNMAP_AND_REPLACE: u32 = 7, "GNTTABOP_unmap_and_replace";
    /// [`SetVersion`](super::SetVersion).
    OP_SET_VERSION: u32 = 8, "GNTTABOP_set_version";
    /// [`GetStatusFrames`](super::GetStatusFrames).
    OP_GET_STATUS_FRAMES: u32 = 9, "GNTTABOP_get_status_frames";
    /// [`GetVersion`](super::GetVersion).
    OP_GET_VERSION: u32 = 10, "GNTTABOP_get_version";
    /// [`SwapGrantRef`](super::SwapGrantRef).
    OP_SWAP_GRANT_REF: u32 = 11, "GNTTABOP_swap_grant_ref";
    /// [`CacheFlush`](super::CacheFlush).
    OP_CACHE_FLUSH: u32 = 12, "GNTTABOP_cache_flush";

    /// Done.
    STATUS_OKAY: i16 = 0, "GNTST_okay";
    /// Some error.
    STATUS_GENERAL_ERROR: i16 = -1, "GNTST_general_error";
    /// No such domain.
    STATUS_BAD_DOMAIN: i16 = -2, "GNTST_bad_domain";
    /// No such grant, or not for the caller.
    STATUS_BAD_GNTREF: i16 = -3, "GNTST_bad_gntref";
    /// No such mapping.
    STATUS_BAD_HANDLE: i16 = -4, "GNTST_bad_handle";
    /// The address cannot be mapped, or has another mapping.
    STATUS_BAD_VIRT_ADDR: i16 = -5, "GNTST_bad_virt_addr";
    /// The bus address is not this mapping's.
    STATUS_BAD_DEV_ADDR: i16 = -6, "GNTST_bad_dev_addr";
    /// The IOMMU has no room.
    STATUS_NO_DEVICE_SPACE: i16 = -7, "GNTST_no_device_space";
    /// Not allowed.
    STATUS_PERMISSION_DENIED: i16 = -8, "GNTST_permission_denied";
    /// The frame cannot be used for this.
    STATUS_BAD_PAGE: i16 = -9, "GNTST_bad_page";
    /// A copy crosses the end of its page.
    STATUS_BAD_COPY_ARG: i16 = -10, "GNTST_bad_copy_arg";
    /// The frame number does not fit.
    STATUS_ADDRESS_TOO_BIG: i16 = -11, "GNTST_address_too_big";
    /// Not now.
    STATUS_EAGAIN: i16 = -12, "GNTST_eagain";
    /// The table or the mappings are full.
    STATUS_NO_SPACE: i16 = -13, "GNTST_no_space";

    /// The first grants are the tools' to fill in.
    NR_RESERVED_ENTRIES: u32 = 8, "GNTTAB_NR_RESERVED_ENTRIES";
    /// The console page's grant.
    RESERVED_CONSOLE: u32 = 0, "GNTTAB_RESERVED_CONSOLE";
    /// The xenstore page's grant.
    RESERVED_XENSTORE: u32 = 1, "GNTTAB_RESERVED_XENSTORE";
}

flags! {
    /// How to map a grant.
    struct MapFlags: u32 {
        /// For devices.
        const DEVICE_MAP = 1 << 0, "GNTMAP_device_map";
        /// For the CPU, at `host_addr`.
        const HOST_MAP = 1 << 1, "GNTMAP_host_map";
        /// Only for reading.
        const READONLY = 1 << 2, "GNTMAP_readonly";
        /// PV: for user mode, too.
        const APPLICATION_MAP = 1 << 3, "GNTMAP_application_map";
        /// PV: `host_addr` is a page table entry's.
        const CONTAINS_PTE = 1 << 4, "GNTMAP_contains_pte";
        /// PV: bits for the page table entry.
        const GUEST_AVAIL_MASK = 0xffff_0000, "GNTMAP_guest_avail_mask";
    }

    /// Which ends of a copy are grants.
    struct CopyFlags: u16 {
        /// The source is.
        const SOURCE_GREF = 1 << 0, "GNTCOPY_source_gref";
        /// The destination is.
        const DEST_GREF = 1 << 1, "GNTCOPY_dest_gref";
    }

    /// What to do with caches.
    struct CacheOps: u32 {
        /// Write back.
        const CLEAN = 1 << 0, "GNTTAB_CACHE_CLEAN";
        /// Invalidate.
        const INVAL = 1 << 1, "GNTTAB_CACHE_INVAL";
        /// The address is a grant.
        const SOURCE_GREF = 1 << 31, "GNTTAB_CACHE_SOURCE_GREF";
    }
}

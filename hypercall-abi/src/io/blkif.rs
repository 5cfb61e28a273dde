//! Block devices (`public/io/blkif.h`). Sectors have 512 bytes.

use crate::layout::{constants, flags, structs};

/// `protocol` in xenstore, for a frontend with the 64-bit layout (`public/io/protocols.h`).
pub const PROTO_X86_64: &str = "x86_64-abi";
/// `protocol` in xenstore, for a frontend with the 32-bit layout.
pub const PROTO_X86_32: &str = "x86_32-abi";

constants! {
    /// Reads.
    OP_READ: u8 = 0, "BLKIF_OP_READ";
    /// Writes.
    OP_WRITE: u8 = 1, "BLKIF_OP_WRITE";
    /// Writes; nothing may pass it.
    OP_WRITE_BARRIER: u8 = 2, "BLKIF_OP_WRITE_BARRIER";
    /// Makes what was written durable.
    OP_FLUSH_DISKCACHE: u8 = 3, "BLKIF_OP_FLUSH_DISKCACHE";
    /// [`RequestDiscard`].
    OP_DISCARD: u8 = 5, "BLKIF_OP_DISCARD";
    /// [`RequestIndirect`].
    OP_INDIRECT: u8 = 6, "BLKIF_OP_INDIRECT";
    /// Segments in a [`Request`].
    MAX_SEGMENTS_PER_REQUEST: usize = 11, "BLKIF_MAX_SEGMENTS_PER_REQUEST";
    /// Pages of segments in a [`RequestIndirect`].
    MAX_INDIRECT_PAGES_PER_REQUEST: usize = 8, "BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST";
    /// Done.
    RSP_OKAY: i16 = 0, "BLKIF_RSP_OKAY";
    /// Failed.
    RSP_ERROR: i16 = -1, "BLKIF_RSP_ERROR";
    /// The backend cannot do this.
    RSP_EOPNOTSUPP: i16 = -2, "BLKIF_RSP_EOPNOTSUPP";
}

flags! {
    /// [`RequestDiscard::flag`].
    struct DiscardFlags: u8 {
        /// Overwrite.
        const SECURE = 1 << 0, "BLKIF_DISCARD_SECURE";
    }

    /// `info` in xenstore.
    struct DiskInfo: u32 {
        /// An optical drive.
        const CDROM = 1, "VDISK_CDROM";
        /// Removable.
        const REMOVABLE = 2, "VDISK_REMOVABLE";
        /// Read-only.
        const READONLY = 4, "VDISK_READONLY";
    }
}

structs! {
    /// Part of a page.
    struct RequestSegment = "struct blkif_request_segment" {
        /// The page's grant.
        gref: u32,
        /// First sector in the page.
        first_sect: u8,
        /// Last sector in the page.
        last_sect: u8,
        _pad: [u8; 2],
    }

    /// A request.
    struct Request<A> = "struct blkif_request" {
        /// `OP_*`.
        operation: u8,
        /// Segments used.
        nr_segments: u8,
        /// The device.
        handle: u16,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        /// The frontend's; the response repeats it.
        id: A::U64,
        /// Where on the disk.
        sector_number: A::U64,
        /// Where in memory.
        seg: [RequestSegment; 11],
    }

    /// A request to forget sectors.
    struct RequestDiscard<A> = "struct blkif_request_discard" {
        /// [`OP_DISCARD`].
        operation: u8,
        flag: DiscardFlags,
        /// The device.
        handle: u16,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        /// The frontend's; the response repeats it.
        id: A::U64,
        /// The first sector.
        sector_number: A::U64,
        /// How many.
        nr_sectors: A::U64,
    }

    /// A request whose segments are in other pages.
    struct RequestIndirect<A> = "struct blkif_request_indirect" {
        /// [`OP_INDIRECT`].
        operation: u8,
        /// What to do.
        indirect_op: u8,
        /// Segments used.
        nr_segments: u16,
        _pad0: A::Pick<[u8; 4], [u8; 0]>,
        /// The frontend's; the response repeats it.
        id: A::U64,
        /// Where on the disk.
        sector_number: A::U64,
        /// The device.
        handle: u16,
        _pad1: [u8; 2],
        /// Grants of the pages with [`RequestSegment`]s.
        indirect_grefs: [u32; 8],
        _pad2: A::Pick<[u8; 4], [u8; 8]>,
    }

    /// A response.
    struct Response<A> = "struct blkif_response" {
        /// The request's.
        id: A::U64,
        /// The request's.
        operation: u8,
        _pad0: u8,
        /// `RSP_*`.
        status: i16,
        _pad1: A::Pick<[u8; 4], [u8; 0]>,
    }
}

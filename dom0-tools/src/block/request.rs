//! What a guest asks of a disk (`public/io/blkif.h`), decoded from the bytes of a ring's entry and checked.
//!
//! Everything in an entry is a claim. An entry that makes no sense is answered with an error; its identifier is the
//! guest's own and is repeated as it is.

use std::fmt;

use hypercall_abi::Plain;
use hypercall_abi::abi::{Abi, Word, X32, X64};
use hypercall_abi::io::blkif::{
    MAX_INDIRECT_PAGES_PER_REQUEST, MAX_SEGMENTS_PER_REQUEST, OP_DISCARD, OP_FLUSH_DISKCACHE, OP_INDIRECT,
    OP_READ, OP_WRITE, OP_WRITE_BARRIER, Request as Raw, RequestDiscard, RequestIndirect, RequestSegment,
    Response,
};

use crate::xen::grant_copy::Part;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Segments of a request whose segments are in other pages.
pub const MAX_INDIRECT_SEGMENTS: u16 = 256;
/// Segments in a page of them.
const SEGMENTS_PER_PAGE: u16 = 512;
/// Sectors in a page.
const SECTORS_PER_PAGE: u8 = 8;
/// Bytes of the larger layout's entry.
pub const ENTRY_MAX: usize = size_of::<Raw<X64>>();

/// How a guest lays its ring out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As a 64-bit kernel does.
    X64,
    /// As a 32-bit kernel does.
    X32,
}

/// Which way a transfer goes, and what is to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// To the guest.
    Read,
    /// From the guest.
    Write,
    /// From the guest; what was written before is durable first.
    FlushWrite,
    /// From the guest, after everything before it and before everything after it; durable when it is answered.
    Barrier,
}

/// Where a transfer's memory is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Here.
    Parts(Vec<Part>),
    /// In so many segments in the pages of these grants: see [`parts`].
    Indirect {
        /// Segments.
        segments: u16,
        /// The pages' grants.
        pages: Vec<u32>,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Move data, from sector `sector` on.
    Transfer(Transfer, u64, Memory),
    /// Make what was written durable.
    Flush,
    /// Forget sectors.
    Discard {
        /// The first one.
        sector: u64,
        /// How many.
        count: u64,
    },
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The guest's name for it.
    pub id: u64,
    /// The operation as the response repeats it.
    pub operation: u8,
    /// What is to be done, or what is wrong with it.
    pub body: Result<Body, Claim>,
}

/// A claim that no driver that keeps the rules makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// An operation that does not exist or was not offered.
    Operation(u8),
    /// So many segments.
    Segments(u16),
    /// A segment with these sectors of its page.
    Sectors(u8, u8),
    /// Sectors after the disk's end.
    Beyond(u64),
    /// Writes to a disk that may only be read.
    ReadOnly,
    /// A page of segments that was not granted.
    Grant(u32),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(number) => write!(f, "operation {number} is not offered"),
            Self::Segments(count) => write!(f, "a request of {count} segments"),
            Self::Sectors(first, last) => write!(f, "a segment with sectors {first} to {last} of its page"),
            Self::Beyond(sector) => write!(f, "sector {sector} is after the disk's end"),
            Self::Grant(reference) => write!(f, "no page of segments is granted by {reference}"),
            Self::ReadOnly => f.write_str("the disk may only be read"),
        }
    }
}

impl Layout {
    /// Bytes of an entry.
    #[must_use]
    pub const fn entry(self) -> usize {
        match self {
            Self::X64 => size_of::<Raw<X64>>(),
            Self::X32 => size_of::<Raw<X32>>(),
        }
    }

    /// Decodes an entry.
    #[must_use]
    pub fn decode(self, entry: &[u8; ENTRY_MAX]) -> Request {
        match self {
            Self::X64 => decode::<X64>(entry),
            Self::X32 => decode::<X32>(entry),
        }
    }

    /// A response's bytes.
    #[must_use]
    pub fn response(self, id: u64, operation: u8, status: i16) -> Vec<u8> {
        fn response<A: Abi>(id: u64, operation: u8, status: i16) -> Vec<u8> {
            let id = A::U64::truncated(id);
            let response: Response<A> = Response { id, operation, status, ..Response::default() };
            response.as_bytes().to_vec()
        }
        match self {
            Self::X64 => response::<X64>(id, operation, status),
            Self::X32 => response::<X32>(id, operation, status),
        }
    }
}

fn decode<A: Abi>(entry: &[u8; ENTRY_MAX]) -> Request {
    // `entry` is as large as the largest of them.
    let raw: Raw<A> = Raw::read_from(entry).unwrap_or_default();
    let (id, operation) = match raw.operation {
        OP_INDIRECT => {
            let indirect: RequestIndirect<A> = RequestIndirect::read_from(entry).unwrap_or_default();
            return decode_indirect(&indirect);
        }
        operation => (raw.id.get(), operation),
    };
    let sector = raw.sector_number.get();
    let transfer = |transfer| direct(&raw).map(|memory| Body::Transfer(transfer, sector, memory));
    let body = match operation {
        OP_READ => transfer(Transfer::Read),
        OP_WRITE => transfer(Transfer::Write),
        OP_WRITE_BARRIER if raw.nr_segments > 0 => transfer(Transfer::Barrier),
        OP_FLUSH_DISKCACHE if raw.nr_segments > 0 => transfer(Transfer::FlushWrite),
        OP_WRITE_BARRIER | OP_FLUSH_DISKCACHE => Ok(Body::Flush),
        OP_DISCARD => {
            let discard: RequestDiscard<A> = RequestDiscard::read_from(entry).unwrap_or_default();
            Ok(Body::Discard { sector: discard.sector_number.get(), count: discard.nr_sectors.get() })
        }
        other => Err(Claim::Operation(other)),
    };
    Request { id, operation, body }
}

fn direct<A: Abi>(raw: &Raw<A>) -> Result<Memory, Claim> {
    match raw.seg.get(..raw.nr_segments.into()) {
        Some(segments) if !segments.is_empty() => parts(segments).map(Memory::Parts),
        _ => Err(Claim::Segments(raw.nr_segments.into())),
    }
}

fn decode_indirect<A: Abi>(raw: &RequestIndirect<A>) -> Request {
    let segments = raw.nr_segments;
    let transfer = match raw.indirect_op {
        OP_READ => Ok(Transfer::Read),
        OP_WRITE => Ok(Transfer::Write),
        OP_FLUSH_DISKCACHE => Ok(Transfer::FlushWrite),
        OP_WRITE_BARRIER => Ok(Transfer::Barrier),
        other => Err(Claim::Operation(other)),
    };
    let body = transfer.and_then(|transfer| {
        if segments == 0 || segments > MAX_INDIRECT_SEGMENTS {
            return Err(Claim::Segments(segments));
        }
        let pages = segments.div_ceil(SEGMENTS_PER_PAGE).into();
        let pages = raw.indirect_grefs.iter().take(pages).copied().collect();
        Ok(Body::Transfer(transfer, raw.sector_number.get(), Memory::Indirect { segments, pages }))
    });
    // The response repeats what was done, not how it was asked for.
    Request { id: raw.id.get(), operation: raw.indirect_op, body }
}

/// The parts of pages that `segments` name.
///
/// # Errors
/// [`Claim::Sectors`].
pub fn parts(segments: &[RequestSegment]) -> Result<Vec<Part>, Claim> {
    let part = |segment: &RequestSegment| {
        let (first, last) = (segment.first_sect, segment.last_sect);
        if first > last || last >= SECTORS_PER_PAGE {
            return Err(Claim::Sectors(first, last));
        }
        let offset = u16::from(first) * SECTOR as u16;
        let len = u16::from(last - first + 1) * SECTOR as u16;
        Ok(Part { reference: segment.gref, offset, len })
    };
    segments.iter().map(part).collect()
}

/// The first byte of `count` sectors from `sector` on, on a disk of `size` sectors.
///
/// # Errors
/// [`Claim::Beyond`].
pub fn place(sector: u64, count: u64, size: u64) -> Result<u64, Claim> {
    let fits = sector.checked_add(count).is_some_and(|end| end <= size);
    let start = sector.checked_mul(SECTOR).filter(|_| fits);
    start.ok_or(Claim::Beyond(sector))
}

const _: () = {
    assert!(size_of::<RequestDiscard<X64>>() <= ENTRY_MAX && size_of::<RequestIndirect<X64>>() <= ENTRY_MAX);
    assert!(size_of::<Raw<X32>>() <= ENTRY_MAX && size_of::<RequestIndirect<X32>>() <= ENTRY_MAX);
    assert!(MAX_INDIRECT_SEGMENTS.div_ceil(SEGMENTS_PER_PAGE) as usize <= MAX_INDIRECT_PAGES_PER_REQUEST);
    assert!(MAX_SEGMENTS_PER_REQUEST <= MAX_INDIRECT_SEGMENTS as usize);
};

#[cfg(test)]
mod tests;

//! The arguments of map and cache-flush operations, checked.

use super::entry::Access;
use super::{GrantError, GrantRef};
use crate::frame::{Gaddr, Gfn, PAGE_SIZE};

const MAP_DEVICE: u32 = 1 << 0;
const MAP_HOST: u32 = 1 << 1;
const MAP_READONLY: u32 = 1 << 2;

const CACHE_CLEAN: u32 = 1 << 0;
const CACHE_INVAL: u32 = 1 << 1;
const CACHE_SOURCE_GREF: u32 = 1 << 31;

/// A mapping that a domain with a p2m may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// To read, or to write too.
    pub access: Access,
    /// Where the page shall appear.
    pub at: Gfn,
}

impl MapRequest {
    /// From `host_addr` and `flags` of the argument (`GNTMAP_*`).
    ///
    /// # Errors
    /// [`GrantError::MapsNothing`], [`GrantError::MapFlags`], [`GrantError::Misaligned`].
    pub const fn new(host_addr: u64, flags: u32) -> Result<Self, GrantError> {
        if flags & (MAP_DEVICE | MAP_HOST) == 0 {
            return Err(GrantError::MapsNothing);
        }
        if flags & !MAP_READONLY != MAP_HOST {
            return Err(GrantError::MapFlags(flags));
        }
        let addr = Gaddr(host_addr);
        if addr.offset() != 0 {
            return Err(GrantError::Misaligned(host_addr));
        }
        let access = if flags & MAP_READONLY != 0 { Access::Read } else { Access::Write };
        Ok(Self { access, at: addr.frame() })
    }
}

/// Where `host_addr` of an unmap says the mapping is; `None` for 0, which asks for nothing.
///
/// # Errors
/// [`GrantError::Misaligned`].
pub const fn unmap_at(host_addr: u64) -> Result<Option<Gfn>, GrantError> {
    let addr = Gaddr(host_addr);
    match host_addr {
        0 => Ok(None),
        _ if addr.offset() != 0 => Err(GrantError::Misaligned(host_addr)),
        _ => Ok(Some(addr.frame())),
    }
}

/// A cache maintenance request (`GNTTABOP_cache_flush`). x86 keeps caches coherent with devices, so a permitted one
/// leaves nothing to do; the caller checks that the page is its own or granted to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFlush {
    /// No bytes or no operation.
    Nothing,
    /// A page by its address in the calling domain.
    Page(Gfn),
    /// A page that is granted by the caller itself.
    Granted(GrantRef),
}

impl CacheFlush {
    /// From the argument's union (`which`), `offset`, `length` and `op`.
    ///
    /// # Errors
    /// [`GrantError::PageCrossed`], [`GrantError::CacheOp`].
    pub const fn new(which: u64, offset: u16, length: u16, op: u32) -> Result<Self, GrantError> {
        if offset as usize >= PAGE_SIZE || offset as usize + length as usize > PAGE_SIZE {
            return Err(GrantError::PageCrossed { offset, len: length });
        }
        if op & !(CACHE_CLEAN | CACHE_INVAL | CACHE_SOURCE_GREF) != 0 {
            return Err(GrantError::CacheOp(op));
        }
        if length == 0 || op & (CACHE_CLEAN | CACHE_INVAL) == 0 {
            return Ok(Self::Nothing);
        }
        Ok(if op & CACHE_SOURCE_GREF != 0 {
            Self::Granted(GrantRef(which as u32))
        } else {
            Self::Page(Gaddr(which).frame())
        })
    }
}

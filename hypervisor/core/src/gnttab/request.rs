//! The arguments of the map, unmap and cache-flush operations, checked.

use hypercall_abi::grant_table::{self as abi, CacheOps, MapFlags};

use super::entry::Access;
use super::{GrantError, GrantRef, Handle};
use crate::frame::{Gaddr, Gfn, PAGE_SIZE};
use crate::ids::DomId;

/// A mapping that a domain with a p2m may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// The domain that grants; may be `DOMID_SELF`.
    pub granter: DomId,
    /// Its grant.
    pub gref: GrantRef,
    /// To read, or to write too.
    pub access: Access,
    /// Where the page shall appear.
    pub at: Gfn,
}

/// The page at the start of which an address is.
const fn page_at(addr: u64) -> Result<Gfn, GrantError> {
    match Gaddr(addr).offset() {
        0 => Ok(Gaddr(addr).frame()),
        _ => Err(GrantError::Misaligned(addr)),
    }
}

impl MapRequest {
    /// From the operation's argument.
    ///
    /// # Errors
    /// [`GrantError::MapsNothing`], [`GrantError::MapFlags`], [`GrantError::Misaligned`].
    pub fn new(op: &abi::MapGrantRef) -> Result<Self, GrantError> {
        if !op.flags.intersects(MapFlags::DEVICE_MAP.union(MapFlags::HOST_MAP)) {
            return Err(GrantError::MapsNothing);
        }
        let read_only = op.flags.contains(MapFlags::READONLY);
        if op.flags.difference(MapFlags::READONLY).bits() != MapFlags::HOST_MAP.bits() {
            return Err(GrantError::MapFlags(op.flags.bits()));
        }
        let at = page_at(op.host_addr)?;
        let access = if read_only { Access::Read } else { Access::Write };
        Ok(Self { granter: DomId(op.dom), gref: GrantRef(op.gref), access, at })
    }
}

/// A mapping that shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmapRequest {
    /// The mapping.
    pub handle: Handle,
    /// Where the caller says it is.
    pub at: Gfn,
}

impl UnmapRequest {
    /// From the operation's argument; `None` if it asks for nothing, having no host address. The device address is
    /// ignored: there are no device mappings.
    ///
    /// # Errors
    /// [`GrantError::Misaligned`].
    pub fn new(op: &abi::UnmapGrantRef) -> Result<Option<Self>, GrantError> {
        if op.host_addr == 0 {
            return Ok(None);
        }
        Ok(Some(Self { handle: Handle(op.handle), at: page_at(op.host_addr)? }))
    }
}

/// A mapping that shall go, and what shall take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaceRequest {
    /// The mapping.
    pub unmap: UnmapRequest,
    /// The page of the caller's that is moved there; with none it is a plain unmapping.
    pub by: Option<Gfn>,
}

impl ReplaceRequest {
    /// From the operation's argument.
    ///
    /// # Errors
    /// [`GrantError::Misaligned`].
    pub fn new(op: &abi::UnmapAndReplace) -> Result<Self, GrantError> {
        let unmap = UnmapRequest { handle: Handle(op.handle), at: page_at(op.host_addr)? };
        let by = if op.new_addr == 0 { None } else { Some(page_at(op.new_addr)?) };
        Ok(Self { unmap, by })
    }
}

/// A cache maintenance request (`GNTTABOP_cache_flush`).
///
/// It is permitted for the caller's own pages and for those it has mapped by grant: what its p2m holds at that frame
/// tells. x86 keeps caches coherent with devices, so a permitted request leaves nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFlush {
    /// No bytes or no operation.
    Nothing,
    /// A page of the calling domain's p2m.
    Page(Gfn),
}

impl CacheFlush {
    /// From the operation's argument.
    ///
    /// # Errors
    /// [`GrantError::PageCrossed`], [`GrantError::CacheOp`], [`GrantError::FlushByRef`].
    pub const fn new(op: &abi::CacheFlush) -> Result<Self, GrantError> {
        let (offset, len) = (op.offset, op.length);
        if offset as usize >= PAGE_SIZE || offset as usize + len as usize > PAGE_SIZE {
            return Err(GrantError::PageCrossed { offset, len });
        }
        if len == 0 || op.op.is_empty() {
            return Ok(Self::Nothing);
        }
        if op.op.contains(CacheOps::SOURCE_GREF) {
            return Err(GrantError::FlushByRef);
        }
        if !CacheOps::all().contains(op.op) {
            return Err(GrantError::CacheOp(op.op.bits()));
        }
        Ok(Self::Page(Gaddr(op.a).frame()))
    }
}

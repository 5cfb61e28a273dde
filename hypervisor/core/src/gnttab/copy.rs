//! `GNTTABOP_copy`: which bytes go where.

use hypercall_abi::grant_table::{self as abi, CopyFlags};
use hypercall_abi::{Abi, xen};

use super::{GrantError, GrantRef};
use crate::frame::{Gfn, PAGE_SIZE};
use crate::ids::DomId;

/// A page that a copy reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPlace {
    /// A page that `dom` grants to the caller.
    Granted {
        /// The granting domain; may be `DOMID_SELF`.
        dom: DomId,
        /// Its grant.
        gref: GrantRef,
    },
    /// The caller's own page.
    Own(Gfn),
}

/// One end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyEnd {
    /// The page.
    pub place: CopyPlace,
    /// Where in the page, in bytes.
    pub offset: u16,
}

impl CopyEnd {
    fn decode<A: Abi>(end: &abi::CopyPtr<A>, granted: bool) -> Result<Self, GrantError> {
        let dom = DomId(end.domid);
        let place = if granted {
            CopyPlace::Granted { dom, gref: GrantRef(end.gref()) }
        } else if end.domid == xen::DOMID_SELF {
            CopyPlace::Own(Gfn(end.gmfn()))
        } else {
            return Err(GrantError::CopyByFrame(dom));
        };
        Ok(Self { place, offset: end.offset })
    }
}

/// A copy whose both ends lie within their pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRequest {
    /// Where the bytes come from.
    pub source: CopyEnd,
    /// Where they go.
    pub dest: CopyEnd,
    /// How many, in bytes: at most a page.
    pub len: u16,
}

impl CopyRequest {
    /// From the operation's argument.
    ///
    /// # Errors
    /// [`GrantError::PageCrossed`], [`GrantError::CopyByFrame`].
    pub fn decode<A: Abi>(op: &abi::Copy<A>) -> Result<Self, GrantError> {
        let source = CopyEnd::decode(&op.source, op.flags.contains(CopyFlags::SOURCE_GREF))?;
        let dest = CopyEnd::decode(&op.dest, op.flags.contains(CopyFlags::DEST_GREF))?;
        for end in [source, dest] {
            if usize::from(end.offset) + usize::from(op.len) > PAGE_SIZE {
                return Err(GrantError::PageCrossed { offset: end.offset, len: op.len });
            }
        }
        Ok(Self { source, dest, len: op.len })
    }
}

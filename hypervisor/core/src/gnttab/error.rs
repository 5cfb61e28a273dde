//! Why a grant operation was refused.

use core::fmt;

use hypercall_abi::errno::Errno;
use hypercall_abi::grant_table as abi;

use super::{GrantRef, Handle};
use crate::fallible::NoMemory;
use crate::frame::Gfn;
use crate::frames::OutOfFrames;
use crate::ids::DomId;
use crate::refusal::Refusal;
use crate::slab::NoSlot;

/// A refused grant operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// The granting domain does not exist or is being destroyed.
    NoDomain(DomId),
    /// Only a domain itself and its controller may look at its table.
    NotController(DomId),
    /// The reference lies past the table's end.
    BadRef {
        /// What was asked for.
        gref: GrantRef,
        /// References that the table has now.
        end: u32,
    },
    /// The entry is empty or of another type than `GTF_permit_access`.
    NoAccess {
        /// The reference.
        gref: GrantRef,
        /// The entry's flags.
        flags: u16,
    },
    /// The entry grants to somebody else, or somebody else uses it now.
    NotYours {
        /// The reference.
        gref: GrantRef,
        /// Who may use it.
        to: DomId,
    },
    /// Writing through a read-only grant.
    ReadOnly(GrantRef),
    /// A part of a page, or a page with special caching, cannot be mapped into a p2m.
    NotMappable {
        /// The reference.
        gref: GrantRef,
        /// The entry's flags.
        flags: u16,
    },
    /// The granting domain kept changing the entry.
    Unstable(GrantRef),
    /// The entry names a frame that is no RAM of the granting domain.
    BadFrame(Gfn),
    /// The entry is in use as often as can be counted.
    TooManyPins(GrantRef),
    /// The entry is in use, which the operation does not allow.
    InUse(GrantRef),
    /// The hypervisor's heap is full.
    NoMemory,
    /// The table is as large as the domain's limit allows.
    TableFull {
        /// The limit, in frames of 512 entries.
        max_frames: u32,
    },
    /// The domain has as many mappings as its limit allows.
    NoHandle {
        /// The limit.
        max: u32,
    },
    /// No such mapping.
    BadHandle(Handle),
    /// The mapping is elsewhere.
    WrongAddress {
        /// Where it is.
        at: Gfn,
    },
    /// Map flags that name no kind of mapping.
    MapsNothing,
    /// Map flags that a domain with a p2m has no use for: PTE, application or device mappings.
    MapFlags(u32),
    /// A map address that is not the start of a page.
    Misaligned(u64),
    /// A copy or flush that runs past the end of a page.
    PageCrossed {
        /// Offset in the page.
        offset: u16,
        /// Bytes.
        len: u16,
    },
    /// A copy by frame number from or to another domain.
    CopyByFrame(DomId),
    /// Version 2 tables are not offered.
    NoVersion2,
    /// No such table version.
    BadVersion(u32),
    /// The operation exists for domains without a p2m only.
    ParavirtualOnly,
    /// Caches are flushed by address only.
    FlushByRef,
    /// An unknown cache operation.
    CacheOp(u32),
}

impl From<NoMemory> for GrantError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<OutOfFrames> for GrantError {
    fn from(_: OutOfFrames) -> Self {
        Self::NoMemory
    }
}

impl From<NoSlot> for GrantError {
    fn from(no: NoSlot) -> Self {
        match no {
            NoSlot::Limit(max) => Self::NoHandle { max },
            NoSlot::NoMemory => Self::NoMemory,
        }
    }
}

impl GrantError {
    /// The value for a `status` field (`GNTST_*`).
    #[must_use]
    pub const fn status(self) -> i16 {
        match self {
            Self::NoDomain(_) => abi::STATUS_BAD_DOMAIN,
            Self::BadRef { .. } | Self::MapsNothing => abi::STATUS_BAD_GNTREF,
            Self::BadHandle(_) => abi::STATUS_BAD_HANDLE,
            Self::WrongAddress { .. } | Self::Misaligned(_) => abi::STATUS_BAD_VIRT_ADDR,
            Self::CopyByFrame(_) | Self::NotController(_) => abi::STATUS_PERMISSION_DENIED,
            Self::BadFrame(_) => abi::STATUS_BAD_PAGE,
            Self::PageCrossed { .. } => abi::STATUS_BAD_COPY_ARG,
            Self::InUse(_) => abi::STATUS_EAGAIN,
            Self::TooManyPins(_) | Self::NoMemory | Self::NoHandle { .. } => abi::STATUS_NO_SPACE,
            Self::NoAccess { .. }
            | Self::NotYours { .. }
            | Self::ReadOnly(_)
            | Self::NotMappable { .. }
            | Self::Unstable(_)
            | Self::TableFull { .. }
            | Self::MapFlags(_)
            | Self::NoVersion2
            | Self::BadVersion(_)
            | Self::ParavirtualOnly
            | Self::FlushByRef
            | Self::CacheOp(_) => abi::STATUS_GENERAL_ERROR,
        }
    }
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDomain(dom) => write!(f, "{dom} grants nothing: it does not exist or is being destroyed"),
            Self::NotController(dom) => write!(f, "the grant table of {dom} is for it and its controller"),
            Self::BadRef { gref, end } => write!(f, "{gref} is past the table's end at {end}"),
            Self::NoAccess { gref, flags } => write!(f, "{gref} permits no access (flags {flags:#x})"),
            Self::NotYours { gref, to } => write!(f, "{gref} is for {to}"),
            Self::ReadOnly(gref) => write!(f, "{gref} is read-only"),
            Self::NotMappable { gref, flags } => {
                write!(f, "{gref} cannot be mapped: part of a page or special caching (flags {flags:#x})")
            }
            Self::Unstable(gref) => write!(f, "{gref} keeps changing"),
            Self::BadFrame(gfn) => write!(f, "frame {gfn} is no RAM of the granting domain"),
            Self::TooManyPins(gref) => write!(f, "{gref} is in use too often"),
            Self::InUse(gref) => write!(f, "{gref} is in use"),
            Self::NoMemory => f.write_str("no hypervisor memory left for grants"),
            Self::TableFull { max_frames } => write!(f, "the grant table's limit is {max_frames} frames"),
            Self::NoHandle { max } => write!(f, "all {max} grant handles of the domain are taken"),
            Self::BadHandle(handle) => write!(f, "no mapping has {handle}"),
            Self::WrongAddress { at } => write!(f, "the mapping is at frame {at}"),
            Self::MapsNothing => f.write_str("neither a host nor a device mapping is asked for"),
            Self::MapFlags(flags) => write!(f, "map flags {flags:#x} are not for domains with a p2m"),
            Self::Misaligned(addr) => write!(f, "address {addr:#x} is not the start of a page"),
            Self::PageCrossed { offset, len } => {
                write!(f, "{len} bytes at offset {offset} cross the page's end")
            }
            Self::CopyByFrame(dom) => write!(f, "frames of {dom} are copied by grant reference only"),
            Self::NoVersion2 => f.write_str("grant table version 2 is not offered"),
            Self::BadVersion(version) => write!(f, "there is no grant table version {version}"),
            Self::ParavirtualOnly => f.write_str("the operation is for domains without a p2m"),
            Self::FlushByRef => f.write_str("caches are flushed by address, not by grant reference"),
            Self::CacheOp(op) => write!(f, "there is no cache operation {op:#x}"),
        }
    }
}

impl Refusal for GrantError {
    fn errno(&self) -> Errno {
        match self {
            Self::NoDomain(_) => Errno::ESRCH,
            Self::NoMemory => Errno::ENOMEM,
            Self::NoHandle { .. } | Self::TooManyPins(_) => Errno::ENOSPC,
            Self::InUse(_) => Errno::EBUSY,
            Self::CopyByFrame(_) | Self::NotController(_) | Self::NotYours { .. } | Self::ReadOnly(_) => {
                Errno::EPERM
            }
            Self::NoVersion2 | Self::ParavirtualOnly => Errno::ENOSYS,
            Self::FlushByRef => Errno::EOPNOTSUPP,
            _ => Errno::EINVAL,
        }
    }
}

//! Why a grant operation was refused.

use hypercall_abi::grant_table as abi;

use super::{GrantRef, Handle, Via};
use crate::fallible::NoMemory;
use crate::frame::Gfn;
use crate::frames::OutOfFrames;
use crate::ids::DomId;
use crate::refusals;

refusals! {
    /// A refused grant operation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum GrantError {
        /// The granting domain does not exist or is being destroyed.
        NoDomain(dom: DomId) => ESRCH, "{dom} grants nothing: it does not exist or is being destroyed";
        /// Only a domain itself and its controller may look at its table.
        NotController(dom: DomId) => EPERM, "the grant table of {dom} is for it and its controller";
        /// The reference lies past the table's end: the number of references that it has now.
        BadRef { gref: GrantRef, end: u32 } => EINVAL, "{gref} is past the table's end at {end}";
        /// The entry is empty or of another type than `GTF_permit_access`.
        NoAccess { gref: GrantRef, flags: u16 } => EINVAL, "{gref} permits no access (flags {flags:#x})";
        /// The entry grants to somebody else, or somebody else uses it now.
        NotYours { gref: GrantRef, to: DomId } => EPERM, "{gref} is for {to}";
        /// Writing through a read-only grant.
        ReadOnly(gref: GrantRef) => EPERM, "{gref} is read-only";
        /// A part of a page, or a page with special caching, cannot be mapped into a p2m.
        NotMappable { gref: GrantRef, flags: u16 }
            => EINVAL, "{gref} cannot be mapped: part of a page or special caching (flags {flags:#x})";
        /// The granting domain kept changing the entry.
        Unstable(gref: GrantRef) => EINVAL, "{gref} keeps changing";
        /// The entry names a frame that is no RAM of the granting domain.
        BadFrame(gfn: Gfn) => EINVAL, "frame {gfn} is no RAM of the granting domain";
        /// The entry is in use as often as can be counted.
        TooManyPins(gref: GrantRef) => ENOSPC, "{gref} is in use too often";
        /// The entry is in use, which the operation does not allow.
        InUse(gref: GrantRef) => EBUSY, "{gref} is in use";
        /// The hypervisor's heap is full.
        NoMemory => ENOMEM, "no hypervisor memory left for grants";
        /// The table is as large as the domain's limit allows, in frames of 512 entries.
        TableFull { max_frames: u32 } => EINVAL, "the grant table's limit is {max_frames} frames";
        /// The domain has as many mappings as its limit allows.
        NoHandle { max: u32 } => ENOSPC, "all {max} grant handles of the domain are taken";
        /// No such mapping.
        BadHandle(handle: Handle) => EINVAL, "no mapping has {handle}";
        /// The mapping is elsewhere.
        WrongAddress { at: Gfn } => EINVAL, "the mapping is at frame {at}";
        /// Map flags that name no kind of mapping.
        MapsNothing => EINVAL, "neither a host nor a device mapping is asked for";
        /// Map flags that a domain with a p2m has no use for: PTE, application or device mappings.
        MapFlags(flags: u32) => EINVAL, "map flags {flags:#x} are not for domains with a p2m";
        /// A map address that is not the start of a page.
        Misaligned(addr: u64) => EINVAL, "address {addr:#x} is not the start of a page";
        /// A copy or flush that runs past the end of a page.
        PageCrossed { offset: u16, len: u16 } => EINVAL, "{len} bytes at offset {offset} cross the page's end";
        /// A copy by frame number from or to another domain.
        CopyByFrame(dom: DomId) => EPERM, "frames of {dom} are copied by grant reference only";
        /// The entry passes another domain's grant on, which is for copies only, and not twice.
        Transitive { gref: GrantRef, via: Via }
            => EINVAL, "{gref} passes on {} of {}: only for a copy, and only once", via.gref, via.dom;
        /// A copy of bytes that the grant does not give.
        OutsidePart { offset: u16, len: u16 } => EINVAL, "{len} bytes at offset {offset} are not granted: part of a page";
        /// The domain was created without version 2 tables.
        NoVersion2 => ENOSYS, "the domain may not have grant table version 2 (max_grant_version)";
        /// Version 1 has no status words.
        NoStatus => EINVAL, "grant table version 1 has no status frames";
        /// The version changes only while nothing but reserved entries is in use.
        EntriesInUse { count: usize } => EBUSY, "{count} grants are in use: the table's version cannot change";
        /// The version changes only while the table is small.
        TooLarge { frames: u32, max: u32 }
            => EBUSY, "the grant table has {frames} frames: its version can change with at most {max}";
        /// No such table version.
        BadVersion(version: u32) => EINVAL, "there is no grant table version {version}";
        /// The operation exists for domains without a p2m only.
        ParavirtualOnly => ENOSYS, "the operation is for domains without a p2m";
        /// Caches are flushed by address only.
        FlushByRef => EOPNOTSUPP, "caches are flushed by address, not by grant reference";
        /// An unknown cache operation.
        CacheOp(op: u32) => EINVAL, "there is no cache operation {op:#x}";
    }
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

impl GrantError {
    /// The value for a `status` field (`GNTST_*`).
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
            _ => abi::STATUS_GENERAL_ERROR,
        }
    }
}

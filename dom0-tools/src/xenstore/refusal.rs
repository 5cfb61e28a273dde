//! Why a request was refused: the rule or limit, and the error number that the caller sees.

use super::ids::DomId;
use super::path::{Path, PathError};
use super::perms::Need;
use super::quota::Quota;
use core::fmt;
use hypercall_abi::errno::Errno;

/// The rule or limit that refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The payload does not have the form that the request demands.
    Malformed(&'static str),
    /// A path breaks a rule.
    Path(PathError),
    /// A number that is no domain.
    NoDomain,
    /// There is no node of that path.
    NoNode(Path),
    /// The node's permissions (or those of its nearest parent) forbid it.
    Denied(Path, Need),
    /// Only domain 0 may ask that.
    ControlOnly(&'static str),
    /// Only domain 0 may give a node another owner.
    OwnerFixed(Path),
    /// A limit of the calling domain is reached.
    Quota(Quota, usize),
    /// The same watch is set already.
    WatchExists,
    /// No such watch is set.
    NoWatch,
    /// The connection has no transaction of that number.
    NoTransaction(u32),
    /// A transaction cannot hold another.
    Nested,
    /// Somebody else changed what the transaction has seen.
    Conflict(Path),
    /// The reply would be longer than a message may be.
    ReplyTooLong,
    /// The domain is not connected.
    NotIntroduced(DomId),
    /// The ring or the event channel of a domain could not be attached.
    Unattached(DomId, String),
    /// There is no such request.
    Unknown(u32),
    /// The root cannot be removed.
    Root,
    /// The change could not be made durable.
    Journal(String),
}

impl Refusal {
    /// The number that goes to the caller, by name (`xs_wire.h` lists the names that clients know).
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::Malformed(_) | Self::Path(_) | Self::NoDomain | Self::Root => Errno::EINVAL,
            Self::NoNode(_) | Self::NoWatch | Self::NoTransaction(_) | Self::NotIntroduced(_) => {
                Errno::ENOENT
            }
            Self::Denied(..) | Self::ControlOnly(_) => Errno::EACCES,
            Self::OwnerFixed(_) => Errno::EPERM,
            Self::Quota(quota, _) => quota.errno(),
            Self::WatchExists => Errno::EEXIST,
            Self::Nested => Errno::EBUSY,
            Self::Conflict(_) => Errno::EAGAIN,
            Self::ReplyTooLong => Errno::E2BIG,
            Self::Unattached(..) | Self::Journal(_) => Errno::EIO,
            Self::Unknown(_) => Errno::ENOSYS,
        }
    }

    /// Whether an administrator should hear of it; the rest is everyday life of the protocol.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        matches!(self, Self::Quota(..) | Self::Unattached(..) | Self::Journal(_) | Self::ControlOnly(_))
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed payload: {what}"),
            Self::Path(error) => write!(f, "{error}"),
            Self::NoDomain => write!(f, "not the number of a domain"),
            Self::NoNode(path) => write!(f, "no node {path}"),
            Self::Denied(path, need) => write!(f, "the permissions of {path} forbid it ({need:?} is needed)"),
            Self::ControlOnly(what) => write!(f, "{what} is for domain 0 only"),
            Self::OwnerFixed(path) => write!(f, "only domain 0 may give {path} another owner"),
            Self::Quota(quota, limit) => write!(f, "quota {quota} of {limit} is reached"),
            Self::WatchExists => write!(f, "the same watch is set already"),
            Self::NoWatch => write!(f, "no such watch is set"),
            Self::NoTransaction(number) => write!(f, "the connection has no transaction {number}"),
            Self::Nested => write!(f, "a transaction cannot be started within another"),
            Self::Conflict(path) => write!(f, "the transaction conflicts with a change of {path}"),
            Self::ReplyTooLong => write!(f, "the reply exceeds a message's 4096 bytes"),
            Self::NotIntroduced(domid) => write!(f, "{domid} is not introduced"),
            Self::Unattached(domid, why) => write!(f, "{domid} cannot be attached: {why}"),
            Self::Unknown(number) => write!(f, "there is no request of type {number}"),
            Self::Root => write!(f, "the root cannot be removed"),
            Self::Journal(why) => write!(f, "the change cannot be recorded: {why}"),
        }
    }
}

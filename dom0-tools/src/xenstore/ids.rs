//! Who speaks to the store: domain numbers, and connections.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A domain's number, `domid_t` of `xen.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DomId(pub u16);

impl DomId {
    /// The control domain. Every check of permission lets it pass.
    pub const CONTROL: Self = Self(0);
    /// The first number that is no domain (`DOMID_FIRST_RESERVED`).
    pub const FIRST_RESERVED: u16 = 0x7ff0;

    /// Reads the decimal number of a domain, as requests carry it; reserved numbers are refused.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().filter(|&number| number < Self::FIRST_RESERVED).map(Self)
    }
}

impl fmt::Display for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// One client.
///
/// What belongs to a domain's connection survives the daemon; what belongs to a socket ends with the process
/// that opened it, because the socket itself does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConnId {
    /// The ring page of a domain, domain 0's kernel included.
    Domain(DomId),
    /// A process of domain 0, by a number that is never used twice in one run of the daemon.
    Socket(u64),
}

impl ConnId {
    /// The domain in whose name the connection speaks.
    #[must_use]
    pub fn domid(self) -> DomId {
        match self {
            Self::Domain(domid) => domid,
            Self::Socket(_) => DomId::CONTROL,
        }
    }

    /// Whether the connection outlives the daemon.
    #[must_use]
    pub fn is_durable(self) -> bool {
        matches!(self, Self::Domain(_))
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domid) => write!(f, "{domid}"),
            Self::Socket(number) => write!(f, "socket {number}"),
        }
    }
}

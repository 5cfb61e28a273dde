//! The changes of which the daemon's whole history consists.
//!
//! A request is handled by planning a batch of changes, recording it in the journal and applying it; a restarted
//! daemon applies the recorded batches again. There is no other way to alter a [`State`](super::state::State), so
//! what a restart rebuilds is what was.

use super::ids::{ConnId, DomId};
use super::path::Path;
use super::perms::Perms;
use super::quota::Quota;
use super::transaction::Seen;
use super::tree::NodeOp;
use super::watch::WatchPath;
use super::wire::Message;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// An event of the daemon itself that watches can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Special {
    /// A domain was connected.
    IntroduceDomain,
    /// A domain shut down, died or was disconnected.
    ReleaseDomain,
}

impl Special {
    /// Both.
    pub const ALL: [Self; 2] = [Self::IntroduceDomain, Self::ReleaseDomain];

    /// The name that watches use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IntroduceDomain => "@introduceDomain",
            Self::ReleaseDomain => "@releaseDomain",
        }
    }

    /// The event of that name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|special| special.name().as_bytes() == name)
    }
}

/// Where a domain's ring is and how to signal it, as INTRODUCE names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The guest frame of the ring page.
    pub gfn: u64,
    /// The domain's own end of the event channel.
    pub port: u32,
}

/// Why a domain's ring is no longer served (`XENSTORE_ERROR_*` of `xs_wire.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum RingError {
    /// Page or event channel cannot be had.
    Communication = 1,
    /// An index moved where it cannot.
    Index = 2,
    /// A message announces more than 4096 bytes.
    Protocol = 3,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The counter of generations is at least that.
    Generation(u64),
    /// A change of the store.
    Node(NodeOp),
    /// Who may see a special event.
    Special {
        /// Which one.
        event: Special,
        /// Its permissions.
        perms: Rc<Perms>,
    },
    /// A quota's new limit.
    Limit {
        /// Which one.
        quota: Quota,
        /// How much.
        limit: u64,
    },
    /// A new connection. Its ring, if it has one, is still to be emptied.
    Connect {
        /// Its name.
        conn: ConnId,
        /// How to reach it, if it is a domain.
        link: Option<Link>,
    },
    /// A connection starts over: no watches, transactions or messages, and its ring is to be emptied.
    Reset {
        /// Whose.
        conn: ConnId,
        /// How to reach it from now on.
        link: Option<Link>,
    },
    /// The ring is empty and served from these positions on.
    Ready {
        /// Whose.
        conn: ConnId,
        /// Position of the next request byte to take.
        input: u32,
        /// Position of the next reply byte to send.
        output: u32,
    },
    /// A ring is not served any more.
    Break {
        /// Whose.
        conn: ConnId,
        /// Why.
        error: RingError,
    },
    /// A connection has ended.
    Disconnect {
        /// Which one.
        conn: ConnId,
    },
    /// A connection has the rights of another domain too.
    Target {
        /// Whose.
        conn: ConnId,
        /// Which domain, if any.
        target: Option<DomId>,
    },
    /// Whether the domain's shutdown was announced.
    Shutdown {
        /// Whose.
        conn: ConnId,
        /// Announced, or to be announced again.
        announced: bool,
    },
    /// A watch is set.
    Watch {
        /// Whose.
        conn: ConnId,
        /// At what.
        path: WatchPath,
        /// Its token.
        token: Rc<[u8]>,
        /// Bytes of the path that its events leave out.
        hidden: usize,
    },
    /// A watch is taken away.
    Unwatch {
        /// Whose.
        conn: ConnId,
        /// At what.
        path: WatchPath,
        /// Its token.
        token: Rc<[u8]>,
    },
    /// A transaction is opened.
    Begin {
        /// Whose.
        conn: ConnId,
        /// Its number.
        tx: u32,
    },
    /// A change within a transaction.
    Edit {
        /// Whose.
        conn: ConnId,
        /// Its number.
        tx: u32,
        /// The change.
        op: NodeOp,
    },
    /// A transaction depends on a node. Not recorded: it only matters for a commit, and after a restart that fails.
    See {
        /// Whose.
        conn: ConnId,
        /// Its number.
        tx: u32,
        /// The node.
        path: Path,
        /// What of it.
        #[serde(skip)]
        what: Seen,
    },
    /// A transaction has ended, either way.
    End {
        /// Whose.
        conn: ConnId,
        /// Its number.
        tx: u32,
    },
    /// The first part of a request was taken out of the ring.
    Partial {
        /// Whose.
        conn: ConnId,
        /// The bytes, following those taken before.
        bytes: Vec<u8>,
    },
    /// A request was taken whole: the part kept before, if any, and so many bytes of the ring.
    Taken {
        /// Whose.
        conn: ConnId,
        /// Bytes taken out of the ring now.
        count: u32,
    },
    /// A message is to be sent.
    Send {
        /// To whom.
        conn: ConnId,
        /// The message.
        message: Message,
    },
}

impl Change {
    /// The connection that the change is about, if it is about one.
    #[must_use]
    pub fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Generation(_) | Self::Node(_) | Self::Special { .. } | Self::Limit { .. } => None,
            Self::Connect { conn, .. }
            | Self::Reset { conn, .. }
            | Self::Ready { conn, .. }
            | Self::Break { conn, .. }
            | Self::Disconnect { conn }
            | Self::Target { conn, .. }
            | Self::Shutdown { conn, .. }
            | Self::Watch { conn, .. }
            | Self::Unwatch { conn, .. }
            | Self::Begin { conn, .. }
            | Self::Edit { conn, .. }
            | Self::See { conn, .. }
            | Self::End { conn, .. }
            | Self::Partial { conn, .. }
            | Self::Taken { conn, .. }
            | Self::Send { conn, .. } => Some(*conn),
        }
    }

    /// Whether the change must survive the daemon.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !matches!(self, Self::See { .. }) && self.conn().is_none_or(ConnId::is_durable)
    }
}

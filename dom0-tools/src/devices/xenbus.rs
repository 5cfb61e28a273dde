//! Where the halves of a device are in xenstore, and what state they say that they are in.

use std::fmt;

use hypercall_abi::io::xenbus;
use serde::Serialize;

use crate::xs_client::{Client, StoreError, Tx};

/// What serves a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A disk, served by domain 0's kernel.
    KernelDisk,
    /// A disk, served by a process of domain 0. The name in xenstore is the one that xl knows such disks by.
    UserlandDisk,
    /// A network card.
    Nic,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::KernelDisk, Self::UserlandDisk, Self::Nic];

    /// Its directory among the back halves.
    #[must_use]
    pub const fn back(self) -> &'static str {
        match self {
            Self::KernelDisk => "vbd",
            Self::UserlandDisk => "qdisk",
            Self::Nic => "vif",
        }
    }

    /// Its directory among the front halves.
    #[must_use]
    pub const fn front(self) -> &'static str {
        match self {
            Self::KernelDisk | Self::UserlandDisk => "vbd",
            Self::Nic => "vif",
        }
    }
}

/// One device of one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The domain that has the front half.
    pub domain: u16,
    /// What serves it.
    pub kind: Kind,
    /// Its number among its domain's devices.
    pub id: u32,
}

impl Address {
    /// The front half's directory.
    #[must_use]
    pub fn front(&self) -> String {
        format!("/local/domain/{}/device/{}/{}", self.domain, self.kind.front(), self.id)
    }

    /// The back half's directory.
    #[must_use]
    pub fn back(&self) -> String {
        format!("/local/domain/0/{}", self.back_in_domain_0())
    }

    /// The back half's directory as domain 0 may call it, too: from its own directory on.
    #[must_use]
    pub fn back_in_domain_0(&self) -> String {
        format!("backend/{}/{}/{}", self.kind.back(), self.domain, self.id)
    }

    /// Where xl looks for the devices that it knows of.
    #[must_use]
    pub fn libxl(&self) -> String {
        format!("/libxl/{}/device/{}/{}", self.domain, self.kind.front(), self.id)
    }

    /// Where Linux's back half says what it failed at.
    #[must_use]
    pub fn error(&self) -> String {
        format!("/local/domain/0/error/{}", self.back_in_domain_0())
    }

    /// The back half in Linux's sysfs.
    #[must_use]
    pub fn sysfs(&self) -> String {
        format!("/sys/bus/xen-backend/devices/{}-{}-{}", self.kind.back(), self.domain, self.id)
    }

    /// Everything of the device that is in xenstore.
    #[must_use]
    pub fn all(&self) -> [String; 4] {
        [self.front(), self.back(), self.libxl(), self.error()]
    }

    /// The state of the half in `directory`.
    ///
    /// # Errors
    /// As the daemon says.
    pub fn state(client: &mut Client, tx: Tx, directory: &str) -> Result<State, StoreError> {
        let text = client.find(tx, &format!("{directory}/state"))?;
        Ok(text.and_then(|text| text.parse().ok()).map_or(State::Unknown, State::of))
    }
}

/// What a half says of itself (`enum xenbus_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the interface's; hypercall_abi::io::xenbus explains them")]
pub enum State {
    Unknown,
    Initialising,
    InitWait,
    Initialised,
    Connected,
    Closing,
    Closed,
    Reconfiguring,
    Reconfigured,
}

impl State {
    /// The state behind a number; what is no state is [`State::Unknown`].
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            xenbus::STATE_INITIALISING => Self::Initialising,
            xenbus::STATE_INIT_WAIT => Self::InitWait,
            xenbus::STATE_INITIALISED => Self::Initialised,
            xenbus::STATE_CONNECTED => Self::Connected,
            xenbus::STATE_CLOSING => Self::Closing,
            xenbus::STATE_CLOSED => Self::Closed,
            xenbus::STATE_RECONFIGURING => Self::Reconfiguring,
            xenbus::STATE_RECONFIGURED => Self::Reconfigured,
            _ => Self::Unknown,
        }
    }

    /// The number that stands for it.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Unknown => xenbus::STATE_UNKNOWN,
            Self::Initialising => xenbus::STATE_INITIALISING,
            Self::InitWait => xenbus::STATE_INIT_WAIT,
            Self::Initialised => xenbus::STATE_INITIALISED,
            Self::Connected => xenbus::STATE_CONNECTED,
            Self::Closing => xenbus::STATE_CLOSING,
            Self::Closed => xenbus::STATE_CLOSED,
            Self::Reconfiguring => xenbus::STATE_RECONFIGURING,
            Self::Reconfigured => xenbus::STATE_RECONFIGURED,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Initialising => "initialising",
            Self::InitWait => "waiting",
            Self::Initialised => "initialised",
            Self::Connected => "connected",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reconfiguring => "reconfiguring",
            Self::Reconfigured => "reconfigured",
        })
    }
}

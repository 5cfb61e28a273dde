//! Why a device could not be attached or detached.

use std::path::PathBuf;
use std::{fmt, io};

use super::script::Action;
use super::xenbus::State;
use crate::xen::error::XenError;
use crate::xs_client::{SOCKET, StoreError};

/// The cause.
#[derive(Debug)]
pub enum DeviceError {
    /// Domain 0's kernel has no driver for back halves of this kind.
    NoDriver {
        /// What it would serve.
        what: &'static str,
        /// The module that has it.
        module: &'static str,
    },
    /// No daemon serves disks.
    NoDaemon,
    /// What is behind the device cannot be opened.
    Target {
        /// The file or device.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// The file behind a disk is neither a file nor a block device.
    NotADisk(PathBuf),
    /// Another guest has the same disk, and one of the two may write.
    Shared {
        /// The file or device.
        path: PathBuf,
        /// The other guest's domain.
        domain: u16,
        /// What it is called there.
        vdev: String,
    },
    /// Domain 0 has no such bridge.
    NoBridge {
        /// The one that is wanted.
        wanted: String,
        /// The ones that there are.
        bridges: Vec<String>,
    },
    /// Domain 0 has an interface of this name.
    InterfaceTaken(String),
    /// A network card's interface in domain 0 could not be put on its bridge.
    Interface {
        /// The interface.
        name: String,
        /// The bridge.
        bridge: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// The script of a network card failed.
    Script {
        /// The file.
        script: PathBuf,
        /// What it was to do.
        action: Action,
        /// How it ended.
        how: String,
        /// What it said last.
        last: Vec<String>,
    },
    /// The guest has such a device.
    Taken {
        /// The device.
        what: String,
    },
    /// The guest has no such device.
    NoSuchDevice {
        /// The device.
        what: String,
    },
    /// The back half said that it failed.
    Failed {
        /// The device.
        what: String,
        /// What it said.
        cause: String,
    },
    /// The back half did nothing in time.
    Silent {
        /// The device.
        what: String,
    },
    /// The guest does not let go of the device.
    InUse {
        /// The device.
        what: String,
        /// What its half says.
        front: State,
        /// What it complained of.
        complaint: Option<String>,
    },
    /// The hypervisor refused.
    Xen(XenError),
    /// The system refused.
    System(io::Error),
    /// xenstored refused.
    Store(StoreError),
    /// There is no xenstore daemon.
    NoStore,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver { what, module } => {
                write!(f, "domain 0's kernel serves no {what}: it has no module {module}")
            }
            Self::NoDaemon => f.write_str("no tenon-blockd runs, and it is what serves such disks"),
            Self::Target { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::NotADisk(path) => write!(f, "{}: neither a file nor a block device", path.display()),
            Self::Shared { path, domain, vdev } => {
                write!(f, "{}: domain {domain} has it as {vdev}, and only readers can share", path.display())
            }
            Self::NoBridge { wanted, bridges } => {
                write!(f, "domain 0 has no bridge {wanted:?}")?;
                if bridges.is_empty() { Ok(()) } else { write!(f, "; it has {}", bridges.join(", ")) }
            }
            Self::InterfaceTaken(name) => write!(f, "domain 0 has an interface {name:?} already"),
            Self::Interface { name, bridge, cause } => {
                write!(f, "{name} cannot be put on the bridge {bridge}: {cause}")
            }
            Self::Script { script, action, how, last } => {
                write!(f, "{} {action}: {how}", script.display())?;
                if last.is_empty() { Ok(()) } else { write!(f, "; it said: {}", last.join(" / ")) }
            }
            Self::Taken { what } => write!(f, "the guest has a {what} already"),
            Self::NoSuchDevice { what } => write!(f, "the guest has no {what}"),
            Self::Failed { what, cause } => write!(f, "{what}: domain 0's driver says: {cause}"),
            Self::Silent { what } => write!(f, "{what}: domain 0's driver did not take it in time"),
            Self::InUse { what, front, complaint } => {
                write!(f, "{what}: the guest does not let go of it; its driver's state is {front}")?;
                match complaint {
                    Some(text) => write!(f, ", and it says: {text}"),
                    None => Ok(()),
                }
            }
            Self::Xen(e) => e.fmt(f),
            Self::System(e) => e.fmt(f),
            Self::Store(e) => e.fmt(f),
            Self::NoStore => {
                write!(f, "no xenstore daemon answers at {SOCKET}, and devices are attached through it")
            }
        }
    }
}

impl std::error::Error for DeviceError {}

impl From<StoreError> for DeviceError {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl From<io::Error> for DeviceError {
    fn from(e: io::Error) -> Self {
        Self::System(e)
    }
}

impl From<XenError> for DeviceError {
    fn from(e: XenError) -> Self {
        Self::Xen(e)
    }
}

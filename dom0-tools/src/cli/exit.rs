//! How the `tenon` command ends. The numbers are documented in `tenon --help`; scripts rely on them.

use std::fmt;

use crate::config::ConfigError;
use crate::devices::DeviceError;
use crate::host::HostError;
use crate::pools::PoolError;
use crate::xen::error::XenError;
use crate::xs_client::StoreError;

/// The kinds of failure that scripts may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The system, the hypervisor or a daemon refused.
    Refused = 1,
    /// The command line was wrong (clap's own number).
    Usage = 2,
    /// The guest file was wrong.
    Config = 3,
    /// There is no such domain.
    NoSuchDomain = 4,
    /// What was waited for did not happen in time.
    Timeout = 5,
}

/// The end of `tenon --help`.
pub const HELP: &str = "\
Exit status:
  0  done
  1  the system, the hypervisor or a daemon refused; the message names the call and the cause
  2  the command line is wrong
  3  the guest file is wrong; the message begins with FILE:LINE:COLUMN
  4  there is no such domain
  5  what was waited for did not happen in time";

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The kind.
    pub exit: Exit,
    /// The whole story, on one line.
    pub message: String,
}

impl Failure {
    /// A failure of kind `exit`.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// The system refused.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Refused, message)
    }
}

impl From<ConfigError> for Failure {
    fn from(e: ConfigError) -> Self {
        Self::new(Exit::Config, e)
    }
}

impl From<HostError> for Failure {
    fn from(e: HostError) -> Self {
        let exit = if matches!(e, HostError::NoSuchDomain(_)) { Exit::NoSuchDomain } else { Exit::Refused };
        Self::new(exit, e)
    }
}

impl From<XenError> for Failure {
    fn from(e: XenError) -> Self {
        Self::refused(e)
    }
}

impl From<PoolError> for Failure {
    fn from(e: PoolError) -> Self {
        Self::refused(e)
    }
}

impl From<DeviceError> for Failure {
    fn from(e: DeviceError) -> Self {
        let exit = if matches!(e, DeviceError::InUse { .. }) { Exit::Timeout } else { Exit::Refused };
        Self::new(exit, e)
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        Self::refused(e)
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::refused(e)
    }
}

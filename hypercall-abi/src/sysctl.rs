//! Control of the machine, for the tools (`public/sysctl.h`, interface version 0x15): `sysctl(Sysctl)`.
//!
//! The layout does not depend on the caller, as with `domctl`.

mod call;
mod commands;
mod host;
mod pm;
mod topology;

pub use call::*;
pub use commands::*;
pub use host::*;
pub use pm::*;
pub use topology::*;

pub(crate) use call::LAYOUTS;
pub(crate) use commands::CONSTANTS;
pub(crate) use host::{CONSTANTS as HOST_CONSTANTS, FLAGS as HOST_FLAGS, LAYOUTS as HOST_LAYOUTS};
pub(crate) use pm::{CONSTANTS as PM_CONSTANTS, LAYOUTS as PM_LAYOUTS};
pub(crate) use topology::{CONSTANTS as TOPOLOGY_CONSTANTS, LAYOUTS as TOPOLOGY_LAYOUTS};

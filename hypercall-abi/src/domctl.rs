//! Control of domains, for the tools (`public/domctl.h`, interface version 0x15): `domctl(Domctl)`.
//!
//! The layout does not depend on the caller: handles and 64-bit fields are always 64 bits wide and aligned.

mod call;
mod commands;
mod context;
mod device;
mod domain;
mod memory;
mod scheduler;
mod vcpu;

pub use call::*;
pub use commands::*;
pub use context::*;
pub use device::*;
pub use domain::*;
pub use memory::*;
pub use scheduler::*;
pub use vcpu::*;

pub(crate) use call::LAYOUTS;
pub(crate) use commands::CONSTANTS;
pub(crate) use context::{FLAGS as CONTEXT_FLAGS, LAYOUTS as CONTEXT_LAYOUTS};
pub(crate) use device::{CONSTANTS as DEVICE_CONSTANTS, FLAGS as DEVICE_FLAGS, LAYOUTS as DEVICE_LAYOUTS};
pub(crate) use domain::{CONSTANTS as DOMAIN_CONSTANTS, FLAGS as DOMAIN_FLAGS, LAYOUTS as DOMAIN_LAYOUTS};
pub(crate) use memory::{CONSTANTS as MEMORY_CONSTANTS, FLAGS as MEMORY_FLAGS, LAYOUTS as MEMORY_LAYOUTS};
pub(crate) use scheduler::{CONSTANTS as SCHED_CONSTANTS, FLAGS as SCHED_FLAGS, LAYOUTS as SCHED_LAYOUTS};
pub(crate) use vcpu::{CONSTANTS as VCPU_CONSTANTS, FLAGS as VCPU_FLAGS, LAYOUTS as VCPU_LAYOUTS};

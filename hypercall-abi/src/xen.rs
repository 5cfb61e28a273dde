//! The base of the interface (`public/xen.h`): hypercall numbers, virtual interrupts, reserved domain ids,
//! shared info and time.

mod numbers;
mod shared;

pub use numbers::*;
pub use shared::*;

pub(crate) use {numbers::CONSTANTS, numbers::FLAGS, shared::LAYOUTS};

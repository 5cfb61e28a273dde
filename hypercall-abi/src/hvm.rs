//! Domains with hardware virtualization (`public/hvm/`): `hvm_op(op, argument)`, parameters, vCPU set-up,
//! saved state.

mod ops;
mod params;
mod save;
mod vcpu;

pub use ops::*;
pub use params::*;
pub use save::*;
pub use vcpu::*;

pub(crate) use save::{CONSTANTS as SAVE_CONSTANTS, FLAGS as SAVE_FLAGS, LAYOUTS as SAVE_LAYOUTS};
pub(crate) use {ops::CONSTANTS as OP_CONSTANTS, ops::LAYOUTS as OP_LAYOUTS};
pub(crate) use {params::CONSTANTS as PARAM_CONSTANTS, params::FLAGS as PARAM_FLAGS};
pub(crate) use {vcpu::CONSTANTS as VCPU_CONSTANTS, vcpu::LAYOUTS as VCPU_LAYOUTS};

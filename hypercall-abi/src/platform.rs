//! The platform, for domain 0 (`public/platform.h`): `platform_op(PlatformOp)`.

mod cpu;
mod efi;
mod firmware;
mod op;
mod pm;

pub use cpu::*;
pub use efi::*;
pub use firmware::*;
pub use op::*;
pub use pm::*;

pub(crate) use cpu::{CONSTANTS as CPU_CONSTANTS, FLAGS as CPU_FLAGS, LAYOUTS as CPU_LAYOUTS};
pub(crate) use efi::{CONSTANTS as EFI_CONSTANTS, LAYOUTS as EFI_LAYOUTS};
pub(crate) use firmware::{CONSTANTS as FW_CONSTANTS, LAYOUTS as FW_LAYOUTS};
pub(crate) use op::{CONSTANTS, FLAGS, LAYOUTS};
pub(crate) use pm::{CONSTANTS as PM_CONSTANTS, FLAGS as PM_FLAGS, LAYOUTS as PM_LAYOUTS};

//! Physical devices and interrupts (`public/physdev.h`): `physdev_op(op, argument)`.

mod irq;
mod pci;

pub use irq::*;
pub use pci::*;

pub(crate) use irq::{CONSTANTS, FLAGS, LAYOUTS};
pub(crate) use pci::{CONSTANTS as PCI_CONSTANTS, FLAGS as PCI_FLAGS, LAYOUTS as PCI_LAYOUTS};

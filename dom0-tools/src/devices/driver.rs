//! The drivers of domain 0's kernel, loaded when they are first needed.

use std::path::Path;
use std::process::{Command, Stdio};

use super::error::DeviceError;

/// A driver and how to tell that it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Driver {
    /// What it serves.
    pub what: &'static str,
    /// The module that has it.
    pub module: &'static str,
    /// What is there once it is.
    pub shown_by: &'static str,
}

/// The back half of disks.
pub(super) const BLKBACK: Driver =
    Driver { what: "disks", module: "xen-blkback", shown_by: "/sys/bus/xen-backend/drivers/vbd" };
/// The back half of network cards.
pub(super) const NETBACK: Driver =
    Driver { what: "network cards", module: "xen-netback", shown_by: "/sys/bus/xen-backend/drivers/vif" };
/// Files as block devices.
pub(super) const LOOP: Driver =
    Driver { what: "files as disks", module: "loop", shown_by: "/sys/class/misc/loop-control" };

impl Driver {
    /// Loads the module unless the driver is there.
    ///
    /// # Errors
    /// [`DeviceError::NoDriver`].
    pub fn ensure(self) -> Result<(), DeviceError> {
        let is_there = || Path::new(self.shown_by).exists();
        if is_there() {
            return Ok(());
        }
        // What modprobe has to say is worth less than whether the driver is there now.
        let mut modprobe = Command::new("modprobe");
        let _ = modprobe.arg(self.module).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let Self { what, module, .. } = self;
        if is_there() { Ok(()) } else { Err(DeviceError::NoDriver { what, module }) }
    }
}

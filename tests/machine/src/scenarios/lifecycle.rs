//! A guest is created, seen, shut down and gone.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::machine::Machine;

/// Create, list, shut down, and the name is free again.
pub fn guest_lives(machine: &mut Machine) -> Result<()> {
    machine.dom0_up()?;
    machine.ok("tenon create /etc/tenon/guest.cfg")?;
    let list = machine.ok("tenon list")?;
    ensure!(list.contains("guest"), "the new guest is not listed:\n{list}");
    machine.run("tenon wait guest", Duration::from_secs(120))?;
    machine.power_off()
}

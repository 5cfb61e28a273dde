//! From power-on to domain 0, and off again.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::machine::Machine;

/// The hypervisor names itself, domain 0 has the CPUs it should have, and switching off works.
pub fn to_userspace(machine: &mut Machine) -> Result<()> {
    machine.expect("Tenon ", Duration::from_secs(90))?;
    machine.dom0_up()?;
    let cpus = machine.ok("nproc")?;
    ensure!(cpus == machine.config.cpus.to_string(), "domain 0 has {cpus} CPUs of {}", machine.config.cpus);
    machine.power_off()
}

/// Domain 0 runs its own scenario: a guest from creation to its end.
pub fn guest_by_scenario(machine: &mut Machine) -> Result<()> {
    machine.expect("Tenon ", Duration::from_secs(90))?;
    machine.expect("dom0: up", Duration::from_secs(300))?;
    let verdict = machine.expect("dom0: scenario create ", Duration::from_secs(300))?;
    ensure!(verdict.line.contains("passed"), "{}", verdict.line);
    Ok(())
}

//! From power-on to domain 0, and off again.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::machine::Machine;

/// The hypervisor names itself, and domain 0 has as many CPUs as the machine.
pub fn up(machine: &mut Machine) -> Result<()> {
    let cpus = machine.config.cpus;
    up_with(machine, cpus)
}

/// `dom0_max_vcpus=1` is honoured.
pub fn up_with_one_vcpu(machine: &mut Machine) -> Result<()> {
    up_with(machine, 1)
}

/// `dom0_max_vcpus=2` is honoured.
pub fn up_with_two_vcpus(machine: &mut Machine) -> Result<()> {
    up_with(machine, 2)
}

fn up_with(machine: &mut Machine, vcpus: u32) -> Result<()> {
    machine.expect("Tenon ", Duration::from_secs(120))?;
    machine.dom0_up()?;
    let cpus = machine.ok("nproc")?;
    ensure!(cpus == vcpus.to_string(), "domain 0 has {cpus} CPUs instead of {vcpus}");
    // dom0_mem=1024M, of which the kernel takes its image and the bounce buffers before it counts.
    let kib = machine.ok("grep MemTotal /proc/meminfo | tr -dc 0-9")?.parse::<u64>()?;
    ensure!((850 << 10..=1024 << 10).contains(&kib), "domain 0 has {kib} KiB of memory");
    Ok(())
}

/// Domain 0 switches the machine off.
pub fn power_off(machine: &mut Machine) -> Result<()> {
    machine.power_off()
}

/// Domain 0 resets the machine, which ends QEMU with `-no-reboot`.
pub fn reset(machine: &mut Machine) -> Result<()> {
    machine.tell("reboot")?;
    machine.expect_end(Duration::from_secs(60))?;
    Ok(())
}

/// Domain 0 runs its own scenario: a guest from creation to its end.
pub fn guest_by_scenario(machine: &mut Machine) -> Result<()> {
    machine.expect("Tenon ", Duration::from_secs(120))?;
    machine.expect("dom0: up", Duration::from_secs(400))?;
    let verdict = machine.expect("dom0: scenario create ", Duration::from_secs(400))?;
    ensure!(verdict.line.contains("passed"), "{}", verdict.line);
    Ok(())
}

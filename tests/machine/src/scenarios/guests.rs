//! The small test guests, each in domain 0's place: it asserts from inside, and says at its end how it went.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::qemu;
use crate::config::Config;
use crate::machine::Machine;
use crate::runner::Scenario;

/// One machine for each guest. The one that starts other vCPUs has more of them than CPUs.
pub fn all() -> Vec<Scenario> {
    let guest = |name, program, cpus| qemu(name, Config::program(cpus, program), &[("passes", passes)]);
    let apic = Config::program(2, "apic").option("dom0_max_vcpus=4");
    vec![
        guest("guest-abi-version", "abi-version", 1),
        guest("guest-events", "events", 1),
        guest("guest-timers", "timers", 1),
        guest("guest-calls", "calls", 1),
        guest("guest-memory", "memory", 1),
        guest("guest-grants", "grants", 1),
        guest("guest-cpu", "cpu", 1),
        qemu("guest-apic", apic, &[("passes", passes)]),
    ]
}

/// The guest's last line counts no failures, and then it switches the machine off.
pub fn passes(machine: &mut Machine) -> Result<()> {
    let sum = machine.expect(" passed, ", Duration::from_secs(180))?;
    let failures: Vec<&str> = sum.before.lines().filter(|line| line.contains("FAIL ")).collect();
    ensure!(failures.is_empty() && sum.line.contains(" 0 failed"), "{}\n{}", failures.join("\n"), sum.line);
    machine.expect_end(Duration::from_secs(60))?;
    Ok(())
}

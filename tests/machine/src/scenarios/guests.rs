//! The small test guests, each in domain 0's place: it asserts from inside, and says at its end how it went.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::qemu;
use crate::config::{Boot, Config, Model};
use crate::machine::Machine;
use crate::runner::{Emulator, Scenario};

/// What each machine is called, the guest in it, and how many CPUs it has.
const GUESTS: [(&str, &str, u32); 7] = [
    ("guest-abi-version", "abi-version", 1),
    ("guest-events", "events", 1),
    ("guest-timers", "timers", 1),
    ("guest-calls", "calls", 1),
    ("guest-memory", "memory", 1),
    ("guest-grants", "grants", 1),
    ("guest-cpu", "cpu", 1),
];

/// Under Bochs, on VT-x: those that take seconds, in every run of the tests.
const INTEL: [(&str, &str); 8] = [
    ("bochs-intel-guest-abi-version", "abi-version"),
    ("bochs-intel-guest-events", "events"),
    ("bochs-intel-guest-timers", "timers"),
    ("bochs-intel-guest-calls", "calls"),
    ("bochs-intel-guest-memory", "memory"),
    ("bochs-intel-guest-grants", "grants"),
    ("bochs-intel-guest-cpu", "cpu"),
    ("bochs-intel-guest-apic", "apic"),
];

/// The same on AMD-V: those that want nothing that Bochs 2.7 gets wrong there. It loses virtual interrupts (V_IRQ), and raises
/// in the host the single step that it has reported as an exit.
const AMD: [(&str, &str); 2] =
    [("bochs-amd-guest-abi-version", "abi-version"), ("bochs-amd-guest-calls", "calls")];

/// One machine for each guest. The one that starts other vCPUs has more of them than CPUs.
pub fn all() -> Vec<Scenario> {
    let config = |cpus, program| match program {
        "apic" => Config::program(cpus, program).option("dom0_max_vcpus=4"),
        _ => Config::program(cpus, program),
    };
    let guest = |name, program, cpus| qemu(name, config(cpus, program), &[("passes", passes)]);
    let bochs = |(name, program), model| Scenario {
        emulator: Emulator::Bochs(model),
        long: model != Model::Haswell,
        ..qemu(name, config(1, program).boot(Boot::Bios), &[("passes", passes_under_bochs)])
    };
    let mut all: Vec<_> = GUESTS.map(|(name, program, cpus)| guest(name, program, cpus)).into();
    all.push(guest("guest-apic", "apic", 2));
    all.extend(INTEL.map(|guest| bochs(guest, Model::Haswell)));
    all.extend(AMD.map(|guest| bochs(guest, Model::Ryzen)));
    all
}

/// The guest's last line counts no failures, and then it switches the machine off.
pub fn passes(machine: &mut Machine) -> Result<()> {
    counts_no_failures(machine)?;
    machine.expect_end(Duration::from_secs(60))?;
    Ok(())
}

/// The ACPI tables of a machine under Bochs do not say how to switch it off.
fn passes_under_bochs(machine: &mut Machine) -> Result<()> {
    counts_no_failures(machine)?;
    machine.expect("domain 0 shut down (reason 0)", Duration::from_secs(60))?;
    Ok(())
}

fn counts_no_failures(machine: &mut Machine) -> Result<()> {
    let sum = machine.expect(" passed, ", Duration::from_secs(240))?;
    let failures: Vec<&str> = sum.before.lines().filter(|line| line.contains("FAIL ")).collect();
    ensure!(failures.is_empty() && sum.line.contains(" 0 failed"), "{}\n{}", failures.join("\n"), sum.line);
    Ok(())
}

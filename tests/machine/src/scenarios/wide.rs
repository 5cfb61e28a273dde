//! Machines with many CPUs, and guests with many vCPUs.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::lifecycle::gone;
use super::{boot, qemu};
use crate::config::Config;
use crate::guest::Guest;
use crate::machine::Machine;
use crate::runner::Scenario;

/// What a machine with more CPUs than its emulator may need.
const PATIENCE: Duration = Duration::from_secs(300);

/// In domain 0's place a program that uses all CPUs; and Linux, with Linux guests.
pub fn all() -> Vec<Scenario> {
    let crowd = |name, cpus| qemu(name, Config::program(cpus, "crowd"), &[("all", all_agree)]);
    let linux: &[(&'static str, crate::runner::Body)] =
        &[("boot", boot::up), ("guest-16vcpus", sixteen), ("power-off", boot::power_off)];
    vec![
        crowd("crowd-8cpus", 8),
        Scenario { long: true, ..crowd("crowd-16cpus", 16) },
        Scenario { long: true, ..qemu("wide-6.1-8cpus", Config::new(8), linux) },
    ]
}

fn all_agree(machine: &mut Machine) -> Result<()> {
    let sum = machine.expect("crowd: ", PATIENCE)?;
    let failed: Vec<&str> = sum.before.lines().filter(|line| line.contains("FAIL ")).collect();
    ensure!(sum.line.contains(" 0 failed"), "{}\n{}", sum.line, failed.join("\n"));
    machine.expect_end(PATIENCE)?;
    Ok(())
}

/// A guest with twice as many vCPUs as there are CPUs gives most of them back and takes them in again.
fn sixteen(machine: &mut Machine) -> Result<()> {
    machine.create(&Guest { vcpus: 16, memory_mib: 512, ..Guest::new("wide") })?;
    machine.guest_says("wide", "guest: userspace up, .* cpus 16,", 1)?;
    for count in [3, 16] {
        machine.ok(&format!("tenon vcpu-set wide {count}"))?;
        // The kernel takes them in; to switch them on is left to its userspace.
        let online =
            "for cpu in /sys/devices/system/cpu/cpu*/online; do echo 1 2>/dev/null > $cpu; done; true";
        if count == 16 {
            machine.until_in_guest("wide", online, "back")?;
        }
        machine.until_in_guest("wide", &format!("test $(nproc) = {count}"), &format!("has-{count}"))?;
    }
    machine.ok("tenon destroy wide")?;
    gone(machine, "wide")
}

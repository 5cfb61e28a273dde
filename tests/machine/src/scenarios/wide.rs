//! Machines with many CPUs, and guests with many vCPUs.

use anyhow::Result;

use super::lifecycle::gone;
use super::{boot, guests, qemu};
use crate::config::Config;
use crate::guest::Guest;
use crate::machine::Machine;
use crate::runner::Scenario;

/// In domain 0's place a program that uses all CPUs; and Linux, with Linux guests.
pub fn all() -> Vec<Scenario> {
    let crowd = |name, cpus| qemu(name, Config::program(cpus, "crowd"), &[("passes", guests::passes)]);
    let linux: &[(&'static str, crate::runner::Body)] =
        &[("boot", boot::up), ("guest-16vcpus", sixteen), ("power-off", boot::power_off)];
    vec![
        crowd("crowd-8cpus", 8),
        Scenario { long: true, ..crowd("crowd-16cpus", 16) },
        Scenario { long: true, ..qemu("wide-6.1-8cpus", Config::new(8), linux) },
    ]
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

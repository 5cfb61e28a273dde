//! Guests come, are used, and go.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::guest::Guest;
use crate::machine::Machine;

const SHUT_DOWN: &str = "tenon shutdown --wait --timeout 120";

/// Everything that can happen to a well-behaved guest; afterwards all memory is back.
pub fn whole_life(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    machine.create(&Guest::new("life"))?;
    machine.guest_up("life", 1)?;

    let listed = machine.listed("life")?.context("the guest is not listed")?;
    ensure!(listed["vcpus"] == 1 && listed["max_memory_mib"].as_u64() >= Some(256), "listed as {listed}");

    machine.type_to_guest("life", "echo answer-$((40+2))")?;
    machine.guest_says("life", "^answer-42", 1)?;

    machine.ok("tenon pause life")?;
    let paused = machine.listed("life")?.context("the paused guest is not listed")?;
    ensure!(paused["paused"] == true, "after pausing: {paused}");
    machine.ok("tenon unpause life")?;

    let refused = machine.fails("tenon create /tmp/life.cfg")?;
    ensure!(refused.contains("life"), "a second guest of the same name: {refused}");

    machine.run("tenon reboot --wait --timeout 120 life", Duration::from_secs(150))?;
    machine.guest_up("life", 2)?;
    let rebooted = machine.listed("life")?.context("the guest is gone after its reboot")?;
    ensure!(rebooted["id"] != listed["id"], "a reboot makes a new domain: {rebooted}");

    machine.run(&format!("{SHUT_DOWN} life"), Duration::from_secs(150))?;
    gone(machine, "life")?;

    machine.ok("tenon create /tmp/life.cfg")?;
    machine.ok("tenon destroy life")?;
    gone(machine, "life")?;
    memory_is_back(machine, free)
}

/// A kernel that panics: the guest is destroyed, or kept for inspection, as its file says.
pub fn crash(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    let words = "guest.run=crash";
    machine.create(&Guest { words, lines: "on_crash = \"destroy\"", ..Guest::new("crash") })?;
    gone(machine, "crash")?;
    machine.create(&Guest { words, lines: "on_crash = \"preserve\"", ..Guest::new("wreck") })?;
    machine.ok("tenon wait --timeout 50 wreck")?;
    let wreck = machine.listed("wreck")?.context("a guest to be preserved is gone")?;
    ensure!(wreck["shutdown_reason"] == "crash", "listed as {wreck}");
    machine.ok("tenon destroy wreck")?;
    gone(machine, "wreck")?;
    memory_is_back(machine, free)
}

/// The newer kernel, with four vCPUs.
pub fn guest_6_12_smp(machine: &mut Machine) -> Result<()> {
    comes_and_goes(machine, &Guest { kernel: "6.12", vcpus: 4, ..Guest::new("smp") })?;
    machine.ok("grep -q 'cpus 4,' /var/log/tenon/console/smp.log")?;
    Ok(())
}

/// The 32-bit kernel: compat hypercalls, PAE paging.
pub fn guest_pae(machine: &mut Machine) -> Result<()> {
    comes_and_goes(machine, &Guest { kernel: "686-pae", ..Guest::new("pae") })
}

fn comes_and_goes(machine: &mut Machine, guest: &Guest) -> Result<()> {
    machine.create(guest)?;
    machine.guest_up(guest.name, 1)?;
    machine.run(&format!("{SHUT_DOWN} {}", guest.name), Duration::from_secs(150))?;
    gone(machine, guest.name)
}

/// 200 guests that are made and unmade while nothing of them has run.
pub fn rounds_without_a_leak(machine: &mut Machine) -> Result<()> {
    machine.write_file(
        "/tmp/round.cfg",
        "name = \"round\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\nvcpus = 1",
    )?;
    rounds(machine, 200, "tenon create -p /tmp/round.cfg && tenon destroy round")
}

/// The same with Debian's kernel, running.
pub fn linux_rounds(machine: &mut Machine) -> Result<()> {
    machine.dom0_up()?;
    let round = "tenon create /etc/tenon/poweroff.cfg && tenon wait --for destroy --timeout 120 poweroff";
    rounds(machine, 40, round)
}

fn rounds(machine: &mut Machine, count: u32, round: &str) -> Result<()> {
    // The first one may make caches that stay.
    machine.run(&format!("{round} >/dev/null"), Duration::from_secs(180))?;
    let free = machine.free_kib()?;
    let command = format!("for i in $(seq {count}); do {{ {round}; }} >/dev/null || exit 1; done");
    let done = machine.run(&command, Duration::from_secs(u64::from(count) * 60))?;
    ensure!(done.code == 0, "a round failed:\n{}", done.output);
    memory_is_back(machine, free)
}

/// Waits until no domain has this name.
pub fn gone(machine: &mut Machine, name: &str) -> Result<()> {
    machine.until(&format!("! tenon list {name} >/dev/null 2>&1"), Duration::from_secs(180))
}

/// Tenon's own heap keeps the pages that it has once used: a few of them, however many domains come and go. A leak of
/// one page per domain is more than this after twenty.
const HEAP_GROWTH_KIB: u64 = 64;

/// A domain's memory returns with its last reference, which may take a moment.
pub fn memory_is_back(machine: &mut Machine, before: u64) -> Result<()> {
    let enough = before.saturating_sub(HEAP_GROWTH_KIB);
    let free = "$(tenon info --json | grep -o free_memory_kib.:.[0-9]* | tr -dc 0-9)";
    let back = machine.until(&format!("[ {free} -ge {enough} ]"), Duration::from_secs(30));
    back.or_else(|_| bail!("{before} KiB were free before, {} KiB are now", machine.free_kib()?))
}

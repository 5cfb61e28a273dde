//! Guests come, are used, and go.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::bystander;
use crate::guest::Guest;
use crate::machine::Machine;

const SHUT_DOWN: &str = "tenon shutdown --wait --timeout 120";

/// Everything that can happen to a well-behaved guest; afterwards all memory is back.
pub fn whole_life(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    machine.create(&Guest { lines: "on_poweroff = \"rename-restart\"", ..Guest::new("life") })?;
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
    ensure!(refused.contains("name = \"life\": domain"), "a second guest of the same name: {refused}");

    // What becomes of it is the default: it starts again.
    machine.run("tenon reboot --wait --timeout 120 life", Duration::from_secs(150))?;
    machine.guest_up("life", 2)?;
    let rebooted = machine.listed("life")?.context("the guest is gone after its reboot")?;
    ensure!(rebooted["id"] != listed["id"], "a reboot makes a new domain: {rebooted}");

    // The stopped domain stays under another name, and the guest starts again.
    machine.run(&format!("{SHUT_DOWN} life"), Duration::from_secs(150))?;
    machine.guest_up("life", 3)?;
    let aside = format!("life-{}", rebooted["id"]);
    let kept = machine.listed(&aside)?.context("the domain set aside is gone")?;
    ensure!(kept["id"] == rebooted["id"] && kept["shutdown_reason"] == "poweroff", "set aside: {kept}");
    let anew = machine.listed("life")?.context("the guest set aside has not started again")?;
    ensure!(anew["uuid"] == rebooted["uuid"] && anew["uuid"] != kept["uuid"], "{anew} beside {kept}");
    machine.ok(&format!("tenon destroy {aside}"))?;

    machine.ok("tenon destroy life")?;
    gone(machine, &aside)?;
    gone(machine, "life")?;
    memory_is_back(machine, free)
}

/// How a small guest ends, the line of its file that says what then, and the reason for which the domain is kept, if it
/// is.
const ENDS: [(&str, &str, Option<&str>); 5] = [
    ("poweroff", "on_poweroff = \"preserve\"", Some("poweroff")),
    ("reboot", "on_reboot = \"preserve\"", Some("reboot")),
    ("reboot", "on_reboot = \"destroy\"", None),
    ("crash", "on_crash = \"preserve\"", Some("crash")),
    ("crash", "", None),
];

/// What a guest's file says of its end is done.
pub fn actions(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    for (end, line, kept) in ENDS {
        machine.write_file("/tmp/brief.cfg", &brief(end, line))?;
        machine.ok("tenon create /tmp/brief.cfg")?;
        if let Some(reason) = kept {
            machine.ok("tenon wait --timeout 50 brief")?;
            let listed = machine.listed("brief")?.context("a guest to be preserved is gone")?;
            ensure!(listed["shutdown_reason"] == reason, "{line}: listed as {listed}");
            machine.ok("tenon destroy brief")?;
        }
        gone(machine, "brief").with_context(|| format!("{end} {line}"))?;
    }
    // Again and again, until it is destroyed: then for good, at whatever point of a restart that is.
    machine.write_file("/tmp/brief.cfg", &brief("poweroff", "on_poweroff = \"restart\"\nvcpus = 3"))?;
    for restarts in 1..8 {
        machine.ok("tenon create /tmp/brief.cfg")?;
        for _ in 0..=restarts {
            machine.expect(" created, 3 vCPUs", Duration::from_secs(60))?;
        }
        machine.ok("tenon destroy brief")?;
        gone(machine, "brief")?;
    }
    memory_is_back(machine, free)?;
    ensure!(machine.listed("brief")?.is_none(), "a destroyed guest was restarted");
    Ok(())
}

fn brief(end: &str, line: &str) -> String {
    format!(
        "name = \"brief\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\ncmdline = \"end={end}\"\nmemory = 32\n{line}"
    )
}

/// The same keys as TOML, and what is wrong with them by line and column.
pub fn toml(machine: &mut Machine) -> Result<()> {
    let file =
        "name = \"toml\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\nmaxmem = 64\nvcpus = 2";
    machine.write_file("/tmp/guest.toml", file)?;
    machine.ok("tenon create /tmp/guest.toml")?;
    let listed = machine.listed("toml")?.context("the guest is not listed")?;
    let memory = (listed["memory_mib"].as_u64(), listed["max_memory_mib"].as_u64());
    ensure!(memory.0 < Some(64) && memory.1 >= Some(64) && listed["max_vcpus"] == 2, "listed as {listed}");
    ensure!(listed["guest_file"] == "/tmp/guest.toml", "listed as {listed}");
    machine.ok("tenon destroy toml")?;
    gone(machine, "toml")?;
    machine.write_file("/tmp/guest.toml", &file.replace("32", "3.2"))?;
    let refused = machine.fails("tenon create /tmp/guest.toml")?;
    ensure!(refused.contains("/tmp/guest.toml:4:10: expected text, a number from 0"), "{refused}");
    Ok(())
}

/// A kernel that panics is kept for inspection, as its file says; another guest notices nothing.
pub fn crash(machine: &mut Machine) -> Result<()> {
    bystander::up(machine)?;
    let free = machine.free_kib()?;
    let words = "guest.run=crash";
    machine.create(&Guest { words, lines: "on_crash = \"preserve\"", ..Guest::new("wreck") })?;
    machine.ok("tenon wait --timeout 50 wreck")?;
    let wreck = machine.listed("wreck")?.context("a guest to be preserved is gone")?;
    ensure!(wreck["shutdown_reason"] == "crash", "listed as {wreck}");
    machine.ok("tenon destroy wreck")?;
    gone(machine, "wreck")?;
    memory_is_back(machine, free)?;
    bystander::is_fine(machine, "crash")
}

/// The newer kernel, with four vCPUs.
pub fn guest_6_12_smp(machine: &mut Machine) -> Result<()> {
    comes_and_goes(machine, &Guest { kernel: "6.12", vcpus: 4, ..Guest::new("smp") })
}

/// The 32-bit kernel: compat hypercalls, PAE paging.
pub fn guest_pae(machine: &mut Machine) -> Result<()> {
    comes_and_goes(machine, &Guest { kernel: "686-pae", ..Guest::new("pae") })
}

/// The newer kernel with one vCPU.
pub fn guest_6_12(machine: &mut Machine) -> Result<()> {
    comes_and_goes(machine, &Guest { kernel: "6.12", ..Guest::new("single") })
}

fn comes_and_goes(machine: &mut Machine, guest: &Guest) -> Result<()> {
    machine.create(guest)?;
    machine.guest_up(guest.name, 1)?;
    let (name, cpus) = (guest.name, guest.vcpus);
    machine.guest_says(name, &format!("guest: userspace up, .* cpus {cpus},"), 1)?;
    machine.run(&format!("{SHUT_DOWN} {name}"), Duration::from_secs(150))?;
    gone(machine, name)
}

/// After so many rounds every cache that rounds may fill is full.
const WARM_UP: u32 = 20;

/// 200 guests that are made and unmade: by turns nothing of them has run, they are destroyed as they start, or they end
/// by themselves. Not one page is missing in the end.
pub fn rounds_without_a_leak(machine: &mut Machine) -> Result<()> {
    let idle = "name = \"round\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\nvcpus = 2";
    machine.write_file("/tmp/round.cfg", idle)?;
    machine.write_file("/tmp/ending.cfg", &format!("{idle}\ncmdline = \"end=poweroff\""))?;
    let round = "case $((i % 3)) in \
        0) tenon create -p /tmp/round.cfg && tenon destroy round;; \
        1) tenon create /tmp/round.cfg && tenon destroy round;; \
        2) tenon create /tmp/ending.cfg && { tenon wait --for destroy --timeout 60 round || [ $? = 4 ]; };; \
        esac";
    rounds(machine, WARM_UP, 200, round)
}

/// A few rounds with Debian's kernel, which uses more of the hypervisor.
pub fn linux_rounds(machine: &mut Machine) -> Result<()> {
    rounds(machine, 2, 4, LINUX_ROUND)
}

/// Many of them.
pub fn linux_soak(machine: &mut Machine) -> Result<()> {
    machine.dom0_up()?;
    rounds(machine, 2, 40, LINUX_ROUND)
}

const LINUX_ROUND: &str =
    "tenon create /etc/tenon/poweroff.cfg && tenon wait --for destroy --timeout 120 poweroff";

/// Demands that `count` rounds, after some to warm up, leave as much free memory as there was.
fn rounds(machine: &mut Machine, warm_up: u32, count: u32, round: &str) -> Result<()> {
    let run = |machine: &mut Machine, count: u32| {
        let command = format!("for i in $(seq {count}); do {{ {round}; }} >/dev/null || exit 1; done");
        let done = machine.run(&command, Duration::from_secs(u64::from(count) * 60))?;
        ensure!(done.code == 0, "a round failed:\n{}", done.output);
        Ok(())
    };
    run(machine, warm_up)?;
    settled(machine)?;
    let free = machine.free_kib()?;
    run(machine, count)?;
    at_least_free(machine, free)
}

/// Waits until domain 0 is the only domain.
fn settled(machine: &mut Machine) -> Result<()> {
    machine.until("test $(tenon list | wc -l) = 2", Duration::from_secs(60))
}

/// Waits until no domain has this name.
pub fn gone(machine: &mut Machine, name: &str) -> Result<()> {
    machine.until(&format!("! tenon list {name} >/dev/null 2>&1"), Duration::from_secs(180))
}

/// Tenon's own heap keeps the pages that it has once used: a few of them, the first time that something is done. What
/// many rounds leave is demanded to the page ([`rounds`]).
const HEAP_GROWTH_KIB: u64 = 64;

/// A domain's memory returns with its last reference, which may take a moment.
pub fn memory_is_back(machine: &mut Machine, before: u64) -> Result<()> {
    at_least_free(machine, before.saturating_sub(HEAP_GROWTH_KIB))
}

/// Waits until so many KiB are free.
pub fn at_least_free(machine: &mut Machine, enough: u64) -> Result<()> {
    let free = "$(tenon info --json | grep -o free_memory_kib.:.[0-9]* | tr -dc 0-9)";
    let back = machine.until(&format!("[ {free} -ge {enough} ]"), Duration::from_secs(30));
    back.or_else(|_| bail!("{enough} KiB should be free, {} KiB are", machine.free_kib()?))
}

//! Debian's own tools, which know nothing of Tenon, print the truth.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

pub fn print_the_truth(machine: &mut Machine) -> Result<()> {
    machine.create(&Guest { vcpus: 4, ..Guest::new("stock") })?;
    machine.guest_says("stock", "guest: userspace up, .* cpus 4,", 1)?;

    let info = machine.ok("xl info")?;
    let free = machine.free_kib()? >> 10;
    ensure!(field(&info, "nr_cpus")? == machine.config.machine_cpus().to_string(), "xl info: CPUs:\n{info}");
    ensure!(field(&info, "free_memory")? == free.to_string(), "xl info: {free} MiB are free:\n{info}");

    let list = machine.ok("xl list")?;
    let line = list.lines().find(|line| line.starts_with("stock ")).context("xl list lacks the guest")?;
    let columns: Vec<&str> = line.split_whitespace().collect();
    let id = machine.listed("stock")?.context("tenon list lacks the guest")?["id"].to_string();
    ensure!(columns.get(1) == Some(&id.as_str()) && columns.get(3) == Some(&"4"), "xl list:\n{list}");
    ensure!(list.lines().any(|line| line.starts_with("Domain-0 ")), "xl list lacks domain 0:\n{list}");

    let store = machine.ok(&format!("xenstore-ls /local/domain/{id}"))?;
    ensure!(store.contains("name = \"stock\""), "xenstore-ls:\n{store}");
    machine.ok("tenon destroy stock")?;
    Ok(())
}

/// `maxmem` and `maxvcpus`: a guest starts with less, and takes and gives back what its nodes in xenstore say.
pub fn a_guest_grows(machine: &mut Machine) -> Result<()> {
    let words = "memhp_default_state=online";
    let lines = "maxmem = 448\nmaxvcpus = 2";
    machine.create(&Guest { memory_mib: 192, words, lines, ..Guest::new("grows") })?;
    machine.guest_says("grows", "guest: userspace up, .* cpus 1,", 1)?;
    let listed = machine.listed("grows")?.context("the guest is not listed")?;
    ensure!(listed["vcpus"] == 1 && listed["max_vcpus"] == 2, "vCPUs at start: {listed}");
    ensure!((190..=194).contains(&listed["memory_mib"].as_u64().unwrap_or(0)), "memory at start: {listed}");
    let own = format!("/local/domain/{}", listed["id"]);

    // The kernel takes the vCPU in; to switch it on is left to its userspace.
    machine.ok(&format!("xenstore-write {own}/cpu/1/availability online"))?;
    machine.until_in_guest("grows", "echo 1 2>/dev/null > /sys/devices/system/cpu/cpu1/online", "second")?;
    machine.until_in_guest("grows", "test $(nproc) = 2", "two")?;
    for (mib, word) in [(448_u64, "more"), (192, "less")] {
        machine.ok(&format!("tenon mem-set grows {mib}"))?;
        let range = mib - 4..=mib + 2;
        let memory = "tenon list --json grows | grep -o \"memory_mib.: [0-9]*\" | head -n 1 | tr -dc 0-9";
        let condition = format!("m=$({memory}); test $m -ge {} -a $m -le {}", range.start(), range.end());
        machine.until(&condition, Duration::from_secs(120)).with_context(|| format!("{word} memory"))?;
        let total = "$(sed -n \"/MemTotal/s/[^0-9]//gp\" /proc/meminfo)";
        let sign = if word == "more" { "-ge" } else { "-le" };
        machine.until_in_guest("grows", &format!("test {total} {sign} {}", 300 << 10), word)?;
    }
    machine.ok("tenon destroy grows")?;
    gone(machine, "grows")
}

/// A line `name : value` of xl.
fn field<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|n| n.trim() == name));
    let value = line.and_then(|line| line.split(':').nth(1));
    value.map(str::trim).with_context(|| format!("xl prints no {name}"))
}

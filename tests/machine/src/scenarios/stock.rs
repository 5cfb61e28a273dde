//! Debian's own tools, which know nothing of Tenon, print the truth.

use anyhow::{Context, Result, ensure};

use crate::guest::Guest;
use crate::machine::Machine;

pub fn print_the_truth(machine: &mut Machine) -> Result<()> {
    machine.create(&Guest { vcpus: 2, ..Guest::new("stock") })?;
    machine.guest_up("stock", 1)?;

    let info = machine.ok("xl info")?;
    let free = machine.free_kib()? >> 10;
    ensure!(field(&info, "nr_cpus")? == machine.config.machine_cpus().to_string(), "xl info: CPUs:\n{info}");
    ensure!(field(&info, "free_memory")? == free.to_string(), "xl info: {free} MiB are free:\n{info}");

    let list = machine.ok("xl list")?;
    let line = list.lines().find(|line| line.starts_with("stock ")).context("xl list lacks the guest")?;
    let columns: Vec<&str> = line.split_whitespace().collect();
    let id = machine.listed("stock")?.context("tenon list lacks the guest")?["id"].to_string();
    ensure!(columns.get(1) == Some(&id.as_str()) && columns.get(3) == Some(&"2"), "xl list:\n{list}");
    ensure!(list.lines().any(|line| line.starts_with("Domain-0 ")), "xl list lacks domain 0:\n{list}");

    let store = machine.ok(&format!("xenstore-ls /local/domain/{id}"))?;
    ensure!(store.contains("name = \"stock\""), "xenstore-ls:\n{store}");
    machine.ok("tenon destroy stock")?;
    Ok(())
}

/// A line `name : value` of xl.
fn field<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|n| n.trim() == name));
    let value = line.and_then(|line| line.split(':').nth(1));
    value.map(str::trim).with_context(|| format!("xl prints no {name}"))
}

//! How memory moves between domains: claims, domain 0's balloon, and who holds what is left of a domain.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lifecycle::gone;
use crate::machine::Machine;

const SOON: Duration = Duration::from_secs(60);

/// A guest that idles, with so much memory.
fn file(machine: &mut Machine, name: &str, mib: u64) -> Result<String> {
    let path = format!("/tmp/{name}.cfg");
    let text = format!("name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = {mib}\n");
    machine.write_file(&path, &text)?;
    Ok(path)
}

fn size(machine: &mut Machine, name: &str) -> Result<u64> {
    let listed = machine.listed(name)?.with_context(|| format!("{name} is not listed"))?;
    listed["memory_mib"].as_u64().context("no memory_mib")
}

fn refused(machine: &mut Machine, command: &str, why: &str) -> Result<()> {
    let said = machine.fails(command)?;
    ensure!(said.contains(why), "{command} said {said:?}, not {why:?}");
    Ok(())
}

/// A guest that does not fit is refused at once, and has domain 0's memory if that is allowed.
pub fn room_is_made(machine: &mut Machine) -> Result<()> {
    let (free, dom0) = (machine.free_kib()? >> 10, size(machine, "Domain-0")?);
    let path = file(machine, "large", free + 100)?;
    refused(
        machine,
        &format!("tenon create {path}"),
        "MiB too few; domain 0 does not shrink, for its size was chosen",
    )?;
    refused(machine, &format!("tenon create --autoballoon off {path}"), "(--autoballoon off)")?;
    let huge = file(machine, "huge", free + dom0 - 200)?;
    refused(machine, &format!("tenon create --autoballoon on {huge}"), "never shrinks below 256")?;
    ensure!(size(machine, "Domain-0")? == dom0, "domain 0 has shrunk for nothing");

    machine.ok(&format!("tenon create --autoballoon on {path}"))?;
    let left = size(machine, "Domain-0")?;
    ensure!(
        (dom0 - 130..dom0 - 90).contains(&left),
        "domain 0 had {dom0} MiB and has {left} for a guest of {free} + 100"
    );
    // There is nothing for it to grow by.
    refused(machine, &format!("tenon mem-set 0 {dom0}"), "MiB too few")?;
    machine.ok("tenon destroy large")?;
    gone(machine, "large")?;
    let set = machine.json(&format!("tenon --json mem-set 0 {dom0}"))?;
    ensure!(set["done"] == "mem-set" && size(machine, "Domain-0")?.abs_diff(dom0) <= 4, "grown again: {set}");
    Ok(())
}

/// The limits of `mem-set` and `mem-max`, and what they say.
pub fn sizes(machine: &mut Machine) -> Result<()> {
    let path = file(machine, "still", 32)?;
    machine.ok(&format!("tenon create {path}"))?;
    refused(machine, "tenon mem-set still 64", "still may have 33 MiB at most, not 64")?;
    refused(machine, "tenon mem-max still 16", "still has 32 MiB, more than 16")?;
    machine.ok("tenon mem-max still 1g")?;
    let listed = machine.listed("still")?.context("no guest")?;
    ensure!(listed["max_memory_mib"] == 1025, "its limit: {listed}");
    // It follows no target.
    refused(
        machine,
        "tenon mem-set --timeout 1 still 64",
        "still has 32 MiB, not 64: its kernel does nothing",
    )?;
    refused(machine, "tenon mem-set still 1000", "MiB too few")?;
    refused(machine, "tenon mem-set 0 100", "needs 256 MiB at least")?;
    machine.ok("tenon mem-set 0 900m")?;
    ensure!(size(machine, "Domain-0")?.abs_diff(900) <= 4, "domain 0 after mem-set");
    machine.ok("tenon mem-set 0 1g")?;
    machine.ok("tenon destroy still")?;
    gone(machine, "still")
}

/// A destroyed domain is listed with whoever has its memory mapped, and gone when that one lets go.
pub fn holders_are_named(machine: &mut Machine) -> Result<()> {
    let path = file(machine, "held", 32)?;
    machine.ok(&format!("tenon create {path}"))?;
    let id = machine.listed("held")?.context("no guest")?["id"].clone();
    // The console daemon has its page once it serves the console.
    machine.until("tenon console --json held", SOON)?;
    machine.ok("kill -STOP $(pidof tenon-consoled)")?;
    machine.ok("tenon destroy held")?;
    let list = machine.json("tenon list --json")?;
    let dying = list.as_array().and_then(|list| list.iter().find(|domain| domain["id"] == id)).cloned();
    let text = machine.ok("tenon list")?;
    machine.ok("kill -CONT $(pidof tenon-consoled)")?;
    let dying = dying.context("it is gone though its console is mapped")?;
    ensure!(dying["state"] == "dying" && dying["held_by"][0]["id"] == 0, "{dying}");
    ensure!(dying["held_by"][0]["grants"].as_u64().is_some_and(|n| n > 0), "{dying}");
    ensure!(text.contains("dying, held by domain 0 (1 grant"), "{text}");
    // Exit status 4: there is no such domain.
    machine.until(&format!("tenon list {id} >/dev/null 2>&1; test $? = 4"), SOON)
}

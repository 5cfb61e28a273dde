//! A hundred idle Linux guests at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lifecycle::{at_least_free, gone};
use crate::machine::Machine;

const GUESTS: usize = 100;
/// As small as Debian's kernel and the initrd allow.
const MEMORY_MIB: u32 = 96;
/// So many creations early and late are compared by their medians: one alone may be disturbed by the emulator's host.
const COMPARED: usize = 5;

/// What Tenon may keep once so many guests were there, and how many are then created again that leave nothing.
const TABLES_KIB: u64 = 64 + 2 * GUESTS as u64;
const AGAIN: usize = 10;

/// An idle guest leaves its vCPU no more often than that.
const EXITS_PER_SECOND: f64 = 50.0;

/// They are created one after another, the last ones as quickly as the first, are all listed, all answer on their
/// consoles, take little of the machine while they are idle, and leave no page behind.
pub fn hundred(machine: &mut Machine) -> Result<()> {
    // The first one fills caches.
    create(machine, 0)?;
    destroy(machine, 0)?;
    let free = machine.free_kib()?;
    let mut took = Vec::new();
    for number in 1..=GUESTS {
        took.push(create(machine, number)?);
        machine.guest_up(&name(number), 1)?;
    }
    let list = machine.json("tenon list --json")?;
    let listed = list.as_array().map_or(0, Vec::len);
    ensure!(listed == GUESTS + 1, "{listed} domains are listed");
    for number in 1..=GUESTS {
        machine.type_to_guest(&name(number), "echo here-$((40+2))")?;
        machine.guest_says(&name(number), "^here-42", 1)?;
    }
    idle_guests_rest(machine)?;
    for number in 1..=GUESTS {
        destroy(machine, number)?;
    }
    // Domain 0's own tables, of channels and mappings, have grown for all of them at once, and keep that.
    at_least_free(machine, free.saturating_sub(TABLES_KIB))?;
    let kept = machine.free_kib()?;
    for number in 1..=AGAIN {
        create(machine, number)?;
    }
    for number in 1..=AGAIN {
        destroy(machine, number)?;
    }
    at_least_free(machine, kept)?;
    // The second to the sixth, and the last five.
    let (early, late) = (median(&took[1..=COMPARED]), median(&took[GUESTS - COMPARED..]));
    println!("creations 2 to 6 took {early:?}, the last {COMPARED} {late:?} (medians)");
    ensure!(late <= early * 12 / 10, "the last creations took {late:?}, the first {early:?}: {took:?}");
    Ok(())
}

fn idle_guests_rest(machine: &mut Machine) -> Result<()> {
    let top = machine.json("tenon top --json --interval 20")?;
    let guests = top["domains"].as_array().context("no domains")?.iter().filter(|domain| domain["id"] != 0);
    let exits: Vec<f64> = guests.filter_map(|guest| guest["exits_per_second"].as_f64()).collect();
    ensure!(exits.len() == GUESTS, "{} guests have exits:\n{top:#}", exits.len());
    let mean = exits.iter().sum::<f64>() / GUESTS as f64;
    println!("{GUESTS} idle guests: {mean:.1} exits per second each");
    ensure!(mean < EXITS_PER_SECOND, "{mean} exits per second and guest:\n{top:#}");
    Ok(())
}

fn name(number: usize) -> String {
    format!("many{number}")
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// Creates a guest; says how much CPU time that took. What idle guests take of emulated CPUs meanwhile is left out: it is
/// the emulator that makes their few exits dear.
fn create(machine: &mut Machine, number: usize) -> Result<Duration> {
    let name = name(number);
    let file = format!("/tmp/{name}.cfg");
    machine.write_file(
        &file,
        &format!(
            "name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/vmlinuz-6.1\"\n\
             ramdisk = \"/guests/initrd-6.1\"\ncmdline = \"console=hvc0\"\n\
             memory = {MEMORY_MIB}\nvcpus = 1\n"
        ),
    )?;
    let said = machine.ok(&format!("time -p tenon create {file}"))?;
    let seconds = |what: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(what));
        line.and_then(|text| text.trim().parse::<f64>().ok())
            .with_context(|| format!("no {what} time: {said}"))
    };
    Ok(Duration::from_secs_f64(seconds("user")? + seconds("sys")?))
}

fn destroy(machine: &mut Machine, number: usize) -> Result<()> {
    machine.ok(&format!("tenon destroy {}", name(number)))?;
    gone(machine, &name(number))
}

//! What guests get of a CPU that several want, measured from inside them. Time counts instructions on this machine, so
//! nothing that the emulator's host does is in the figures.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::lifecycle::gone;
use super::{boot, qemu};
use crate::config::Config;
use crate::machine::Machine;
use crate::runner::Scenario;

/// A second takes the emulator about ten.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many seconds are looked at.
const SECONDS: u32 = 3;
/// How far off a share may be, in permille of the CPU.
const TOLERANCE: u32 = 20;

pub fn machine() -> Scenario {
    let mut config = Config::new(1);
    config.icount = Some(0);
    qemu(
        "shares-6.1-1cpu",
        config,
        &[
            ("boot", boot::up),
            ("weights", weights),
            ("cap", cap),
            ("loops", loops),
            ("power-off", boot::power_off),
        ],
    )
}

/// Starts a guest that wants the whole CPU.
fn start(machine: &mut Machine, name: &str, line: &str) -> Result<u64> {
    let file = format!("/tmp/{name}.cfg");
    machine.write_file(
        &file,
        &format!("name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/busy\"\nmemory = 32\n{line}\n"),
    )?;
    let created = machine.json(&format!("tenon create --json {file}"))?;
    created["id"].as_u64().with_context(|| format!("no id: {created}"))
}

/// What a domain had of some seconds from now on, in permille.
fn had(machine: &mut Machine, domains: &[u64]) -> Result<Vec<u32>> {
    let mut said: Vec<Vec<u32>> = vec![Vec::new(); domains.len()];
    // The first one began earlier.
    while said.iter().any(|said| said.len() <= SECONDS as usize) {
        let line = machine.expect(" permille", PATIENCE)?.line;
        let words: Vec<_> = line.split_whitespace().collect();
        for (domain, said) in domains.iter().zip(&mut said) {
            if let [.., who, "had", share, "permille"] = words.as_slice()
                && *who == format!("(d{domain})")
            {
                said.push(share.parse().with_context(|| line.clone())?);
            }
        }
    }
    Ok(said.iter().map(|said| said.iter().skip(1).sum::<u32>() / (said.len() as u32 - 1)).collect())
}

fn is_about(shares: &[u32], wanted: &[u32]) -> Result<()> {
    let right = shares.iter().zip(wanted).all(|(share, wanted)| share.abs_diff(*wanted) <= TOLERANCE);
    ensure!(right, "shares of {shares:?} permille, not {wanted:?}");
    Ok(())
}

fn destroy(machine: &mut Machine, name: &str) -> Result<()> {
    machine.ok(&format!("tenon destroy {name}"))?;
    gone(machine, name)
}

/// One guest has three times the weight of the other; then both have the same.
fn weights(machine: &mut Machine) -> Result<()> {
    let domains =
        [start(machine, "light", "cpu_weight = 100")?, start(machine, "heavy", "cpu_weight = 300")?];
    is_about(&had(machine, &domains)?, &[250, 750])?;
    machine.ok("tenon sched light --weight 300")?;
    is_about(&had(machine, &domains)?, &[500, 500])?;
    destroy(machine, "light")?;
    destroy(machine, "heavy")
}

/// Beside guests that yield, halt, set timers and interrupt themselves as often as they can, one that computes gets its
/// share. What they do not use it gets as well. It is looked at for less long: so many exits take the emulator minutes.
fn loops(machine: &mut Machine) -> Result<()> {
    const LOOPS: [&str; 4] = ["yields", "halts", "timers", "ipis"];
    for word in LOOPS {
        start(machine, word, &format!("cmdline = \"{word}\""))?;
    }
    let computes = start(machine, "computes", "cmdline = \"tenths\"")?;
    let [share] = had(machine, &[computes])?[..] else { bail!("one guest has one share") };
    // Domain 0 has a share, too, and passes on what they say.
    let least = 1000 / (LOOPS.len() as u32 + 2) - TOLERANCE;
    ensure!(share >= least, "a share of {share} permille, not {least} at least");
    for name in LOOPS.into_iter().chain(["computes"]) {
        destroy(machine, name)?;
    }
    Ok(())
}

/// A guest that is alone gets no more than its cap; one without a cap gets the rest.
fn cap(machine: &mut Machine) -> Result<()> {
    let capped = start(machine, "capped", "cap = 30")?;
    is_about(&had(machine, &[capped])?, &[300])?;
    let free = start(machine, "free", "")?;
    is_about(&had(machine, &[capped, free])?, &[300, 700])?;
    machine.ok("tenon sched capped --cap 0")?;
    is_about(&had(machine, &[capped, free])?, &[500, 500])?;
    destroy(machine, "capped")?;
    destroy(machine, "free")
}

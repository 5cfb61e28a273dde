//! What `cargo xtask bench --io` has a guest do with its disk and its network card, and who it talks to.
//!
//! Time counts instructions of the whole machine there, so the price of a request is the time that it takes. Each is
//! measured in batches, and the cheapest batch counts: whatever else domain 0 does falls into the others.

mod disk;
mod network;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

pub use network::{configure, serve};

use crate::{cmdline, mark};

/// How often something that is to come is looked for.
const LOOK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(600);

/// Everything that is measured from inside a guest.
///
/// # Errors
/// The first thing that did not work.
pub fn measure() -> Result<()> {
    if let Some(disk) = cmdline::value("guest.disk") {
        disk::measure(Path::new(&disk))?;
    }
    for (name, peer) in [("domain-0", "guest.host"), ("guest", "guest.peer")] {
        if let Some(address) = cmdline::value(peer) {
            network::measure(name, &address)?;
        }
    }
    if let Some(disk) = cmdline::value("guest.new-disk") {
        mark::write("ready-for-disk")?;
        appears(&disk)?;
        disk::read_one(Path::new(&disk))?;
        mark::write("disk-usable")?;
    }
    if let Some(card) = cmdline::value("guest.new-card") {
        mark::write("ready-for-card")?;
        let card = format!("/sys/class/net/{card}");
        appears(&card)?;
        network::up(&card)?;
        mark::write("card-usable")?;
    }
    Ok(())
}

/// Waits for a file.
fn appears(path: &str) -> Result<()> {
    wait_until(path, || Path::new(path).exists())
}

fn wait_until(what: &str, mut is_there: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !is_there() {
        ensure!(start.elapsed() < PATIENCE, "{what} did not come in {} s", PATIENCE.as_secs());
        sleep(LOOK);
    }
    Ok(())
}

/// Does something `count` times in each of some batches, and tells what one time costs in the cheapest of them.
fn cheapest(name: &str, unit: &str, count: u32, mut one: impl FnMut() -> Result<()>) -> Result<()> {
    const BATCHES: u32 = 8;
    let mut least = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..count {
            one()?;
        }
        least = least.min(start.elapsed());
    }
    // A nanosecond is an instruction.
    let each = least.as_nanos() / u128::from(count);
    mark::line(&format!("bench: {name} {each} instructions/{unit}"))?;
    Ok(())
}

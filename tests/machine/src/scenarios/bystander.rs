//! A Linux guest that minds its own business while others misbehave: it is up throughout, answers on its console, and
//! is never kept from running for long.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

pub const NAME: &str = "bystander";

/// A guest that gets no CPU for so long is starved: floods last four seconds each, so one that shuts it out is found.
/// On a busy host the emulator itself has been kept waiting for more than a second.
const STARVED: Duration = Duration::from_secs(3);

/// Starts it, unless an earlier case has.
pub fn up(machine: &mut Machine) -> Result<()> {
    if machine.listed(NAME)?.is_none() {
        machine.create(&Guest { words: "guest.run=watch", ..Guest::new(NAME) })?;
    }
    machine.guest_up(NAME, 1)
}

/// It does what it is told on its console, and never had to wait for long since it is up. `about` tells this time from
/// others.
pub fn is_fine(machine: &mut Machine, about: &str) -> Result<()> {
    let answer = format!("^{about}-42-stalled-[0-9]");
    machine.type_to_guest(NAME, &format!("echo {about}-$((40+2))-stalled-$(cat /run/longest-stall)"))?;
    machine.guest_says(NAME, &answer, 1)?;
    let stalled = machine.ok(&format!("grep '{answer}' /var/log/tenon/console/{NAME}.log"))?;
    let stalled = stalled.trim().rsplit('-').next().and_then(|ms| ms.parse().ok());
    let stalled = Duration::from_millis(stalled.context("no number of milliseconds")?);
    ensure!(stalled < STARVED, "{about}: the bystander did not run for {stalled:?} at a stretch");
    Ok(())
}

/// It shuts down when asked to, which takes xenstore.
pub fn leaves(machine: &mut Machine) -> Result<()> {
    let done =
        machine.run(&format!("tenon shutdown --wait --timeout 120 {NAME}"), Duration::from_secs(150))?;
    ensure!(done.code == 0, "{NAME} does not shut down: {}", done.output);
    gone(machine, NAME)
}

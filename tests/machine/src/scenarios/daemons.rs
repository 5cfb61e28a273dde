//! Daemons are disposable: they die at any moment and nobody notices.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

/// Kills a daemon by turns, at irregular intervals, until told to stop. Init starts each again.
const KILLER: &str = "touch /tmp/kill /tmp/killing; (while [ -e /tmp/kill ]; do \
    for d in tenon-xenstored tenon-consoled tenon-watchd; do \
    usleep $((100000 + (RANDOM % 20) * 100000)); kill -9 $(pidof $d) 2>/dev/null; done; done; \
    rm /tmp/killing) >/dev/null 2>&1 &";

/// Guests start and stop while the daemons are being killed; afterwards everything is as it should be.
pub fn killed_while_guests_start(machine: &mut Machine) -> Result<()> {
    machine.ok(KILLER)?;
    for (name, number) in [("first", 1), ("second", 2), ("third", 3)] {
        machine.create(&Guest { memory_mib: 128 + number, ..Guest::new(name) })?;
    }
    for name in ["first", "second", "third"] {
        machine.guest_up(name, 1)?;
    }
    machine.ok("rm /tmp/kill")?;
    let calm = "! [ -e /tmp/killing ] && pidof tenon-xenstored && pidof tenon-consoled";
    machine.until(calm, Duration::from_secs(30))?;
    for name in ["first", "second", "third"] {
        machine.type_to_guest(name, "echo still-$((40+2))")?;
        machine.guest_says(name, "^still-42", 1)?;
        let done =
            machine.run(&format!("tenon shutdown --wait --timeout 120 {name}"), Duration::from_secs(150))?;
        ensure!(done.code == 0, "{name} does not shut down: {}", done.output);
        gone(machine, name)?;
    }
    Ok(())
}

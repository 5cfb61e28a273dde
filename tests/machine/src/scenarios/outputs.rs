//! What the hypervisor writes to, and what it measures time with. A fault on purpose ends each boot, since only what is
//! before domain 0 is on the screen.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::panic::report;
use super::qemu;
use crate::channel::Line;
use crate::config::{Boot, Config};
use crate::machine::Machine;
use crate::runner::Scenario;

const SOON: Duration = Duration::from_secs(90);

/// One machine for each output.
pub fn all() -> Vec<Scenario> {
    // Where time counts instructions, the TSC has a known rate.
    let counting = |options| {
        let mut config = Config::program(1, "idle").option(options);
        config.icount = Some(0);
        config
    };
    let uefi =
        Config::program(1, "idle").boot(Boot::Uefi).option("console=com1,vga loglvl=info debug=undefined");
    vec![
        qemu(
            "com2-acpi-timer-1cpu",
            counting("console=com2 com2=115200,8n1 clocksource=acpi debug=page-fault"),
            &[("com2-alone", com2_alone)],
        ),
        qemu(
            "vga-pit-1cpu",
            counting("console=com1,vga clocksource=pit debug=panic"),
            &[("text-screen", text_screen)],
        ),
        qemu("uefi-framebuffer-1cpu", uefi, &[("framebuffer", framebuffer)]),
    ]
}

/// Everything comes out of the second serial port, nothing out of the first.
fn com2_alone(machine: &mut Machine) -> Result<()> {
    machine.may_die = true;
    tsc_is_measured(machine, Line::Agent, "ACPI timer")?;
    let report = report(machine, Line::Agent, "page fault (vector 14) at address 0x100000000000")?;
    report.was_called_by(&["debug::provoke", "boot_cpu"])?;
    machine.wait(Line::Agent, "Press R", SOON, |com2| com2.take_line_with("Press R"))?;
    let com1 = machine.console.tail(10, |_| true);
    ensure!(com1.is_empty(), "com1 says: {com1:?}");
    Ok(())
}

/// The text screen shows what com1 says.
fn text_screen(machine: &mut Machine) -> Result<()> {
    machine.may_die = true;
    tsc_is_measured(machine, Line::Console, "PIT")?;
    let report = report(machine, Line::Console, "asked for by debug=panic at ")?;
    report.was_called_by(&["boot_cpu"])?;
    machine.expect("Press R", SOON)?;
    let screen = machine.text_screen()?;
    shows_the_report(&screen, &report.backtrace)
}

/// So does a screen of pixels.
fn framebuffer(machine: &mut Machine) -> Result<()> {
    machine.may_die = true;
    machine.expect("Tenon ", SOON)?;
    let report = report(machine, Line::Console, "invalid opcode (vector 6)")?;
    machine.expect("Press R", SOON)?;
    let screen = machine.graphics_screen()?;
    shows_the_report(&screen, &report.backtrace)?;
    // The start, from before there was memory to draw with.
    ensure!(screen.iter().any(|line| line.contains("command line: ")), "{}", screen.join("\n"));
    Ok(())
}

/// The screen has the end of the report, which the offer to reboot follows.
fn shows_the_report(screen: &[String], backtrace: &[String]) -> Result<()> {
    let has = |text: &str| screen.iter().any(|line| line.contains(text));
    let missing = backtrace.iter().find(|frame| !has(frame));
    let whole = screen.join("\n");
    ensure!(missing.is_none(), "{missing:?} is not on the screen:\n{whole}");
    ensure!(has("Backtrace:") && has("Running: no domain"), "no report on the screen:\n{whole}");
    Ok(())
}

/// The rate is what the emulator makes it: 1 GHz, less what the measurement cannot see.
fn tsc_is_measured(machine: &mut Machine, line: Line, by: &str) -> Result<()> {
    let said = machine.wait(line, "TSC at ", SOON, |channel| channel.take_line_with("TSC at "))?.line;
    ensure!(said.ends_with(&format!("by {by}")), "{said}");
    let (_, rate) = said.split_once("TSC at ").context("no rate")?;
    let mhz: f64 = rate.split(' ').next().unwrap_or_default().parse().with_context(|| said.clone())?;
    ensure!((990.0..=1010.0).contains(&mhz), "{said}");
    Ok(())
}

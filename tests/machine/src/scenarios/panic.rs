//! How the hypervisor ends: what its report says of a fault, where it was, on whose behalf, and what comes after.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::qemu;
use crate::channel::Line;
use crate::config::Config;
use crate::machine::Machine;
use crate::runner::Scenario;

/// From power-on to the report.
const SOON: Duration = Duration::from_secs(90);
/// The lowest address of the hypervisor's code (`hypervisor/kernel/link.ld`).
const IMAGE: u64 = 0xffff_ffff_8020_0000;
const PAGE: u64 = 4096;

/// Machines that end with a report. [`super::outputs`] has more of them.
pub fn all() -> Vec<Scenario> {
    let hanging = Config::program(2, "panic").option("debug=hang watchdog_timeout=2");
    let rebooting = Config::program(1, "idle").option("debug=stack-overflow noreboot=no");
    vec![
        qemu("panic-running-2cpus", Config::program(2, "panic"), &[("names-the-vcpu", names_the_vcpu)]),
        qemu("watchdog-2cpus", hanging, &[("names-the-place", names_the_place)]),
        qemu("panic-stack-1cpu", rebooting, &[("guard-page", guard_page), ("reboots", reboots)]),
    ]
}

/// A report as it was printed.
pub struct Report {
    /// All after the CPU's name.
    pub cause: String,
    pub registers: HashMap<String, u64>,
    /// Names of functions, the innermost first.
    pub backtrace: Vec<String>,
    /// Who was running.
    pub running: String,
}

/// Waits for a report with this cause on a line, and checks what each must have.
pub fn report(machine: &mut Machine, line: Line, cause: &str) -> Result<Report> {
    machine.may_die = true;
    let first = "Tenon has panicked on cpu";
    let head = machine.wait(line, first, SOON, |channel| channel.take_line_with(first))?;
    let last = machine.wait(line, "Running: ", SOON, |channel| channel.take_line_with("Running: "))?;
    let report = Report::parse(&head.line, &last.before, &last.line)?;
    ensure!(report.cause.contains(cause), "the cause is {:?}, not {cause:?}", report.cause);
    // In long mode, with paging and write protection, and no-execute.
    let (cr0, efer) = (report.register("cr0")?, report.register("efer")?);
    ensure!(cr0 & 0x8001_0001 == 0x8001_0001 && efer & 0xd00 == 0xd00, "cr0 {cr0:#x}, efer {efer:#x}");
    ensure!(report.register("rip")? >= IMAGE, "rip {:#x}", report.register("rip")?);
    Ok(report)
}

impl Report {
    fn parse(head: &str, body: &str, running: &str) -> Result<Self> {
        let (_, cause) = head.split_once(": ").context("a report without a cause")?;
        let (registers, backtrace) =
            body.split_once("Backtrace:\n").context("a report without a backtrace")?;
        let mut words = registers.split_whitespace();
        let mut values = HashMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let value = u64::from_str_radix(value, 16).with_context(|| format!("{name} is {value:?}"))?;
            values.insert(name.to_owned(), value);
        }
        let mut names = Vec::new();
        for frame in backtrace.lines() {
            let Some((_, name)) = frame.trim().split_once(' ') else {
                bail!("a frame without a name: {frame}")
            };
            names.push(name.to_owned());
        }
        let running = running.trim_start_matches("Running: ").to_owned();
        Ok(Self { cause: cause.to_owned(), registers: values, backtrace: names, running })
    }

    fn register(&self, name: &str) -> Result<u64> {
        self.registers.get(name).copied().with_context(|| format!("the report has no {name}"))
    }

    /// Fails unless functions with these in their names called each other, the innermost first; others may be between.
    pub fn was_called_by(&self, names: &[&str]) -> Result<()> {
        let mut frames = self.backtrace.iter();
        for name in names {
            let found = frames.any(|frame| frame.contains(name));
            ensure!(found, "no {name} in its place:\n{}", self.backtrace.join("\n"));
        }
        Ok(())
    }
}

/// Asked for by domain 0 with a key. `R` reboots, `noreboot` or not.
fn names_the_vcpu(machine: &mut Machine) -> Result<()> {
    let report = report(machine, Line::Console, "asked for by domain 0 at ")?;
    ensure!(report.running == "d0v0", "running: {}", report.running);
    report.was_called_by(&["hypercall", "serve"])?;
    machine.expect("The machine stays as it is (noreboot). Press R to reboot.", SOON)?;
    machine.type_in("R")?;
    machine.expect_end(SOON)?;
    Ok(())
}

/// A CPU that hangs on behalf of domain 0 is found, and says where.
fn names_the_place(machine: &mut Machine) -> Result<()> {
    let report = report(machine, Line::Console, "watchdog: stuck in the hypervisor for 2 s")?;
    ensure!(report.running == "d0v0", "running: {}", report.running);
    report.was_called_by(&["debug::hang_if_asked", "hypercall", "serve"])
}

/// An endless recursion ends below its stack, not in what lies there.
fn guard_page(machine: &mut Machine) -> Result<()> {
    let report = report(machine, Line::Console, "double fault (vector 8) at address 0x")?;
    let (_, address) = report.cause.rsplit_once("0x").context("no address")?;
    let address = u64::from_str_radix(address, 16)?;
    let rsp = report.register("rsp")?;
    ensure!(address.abs_diff(rsp) < PAGE, "the fault at {address:#x} is not by the stack, rsp {rsp:#x}");
    ensure!(report.running == "no domain", "running: {}", report.running);
    report.was_called_by(&["debug::descend"; 20])
}

/// Without `noreboot` it does not wait for anybody.
fn reboots(machine: &mut Machine) -> Result<()> {
    machine.expect("Rebooting in 5 seconds. Press any key to stay.", SOON)?;
    machine.expect_end(SOON)?;
    Ok(())
}

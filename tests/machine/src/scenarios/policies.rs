//! `sched=null` and `sched-gran=core`, with guests that compute all the time. What ran where is read from the trace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lifecycle::gone;
use super::trace::{self, Slice};
use super::{boot, qemu};
use crate::config::Config;
use crate::machine::Machine;
use crate::runner::Scenario;

const SOON: Duration = Duration::from_secs(60);

pub fn all() -> [Scenario; 2] {
    [
        qemu(
            "null-6.1-4cpus",
            Config::new(4).option("sched=null dom0_max_vcpus=1").stock_tools(),
            &[("boot", boot::up_with_one_vcpu), ("seats", seats), ("power-off", boot::power_off)],
        ),
        qemu(
            "core-6.1-4cpus",
            Config::new(4).threads(2).option("sched-gran=core").stock_tools(),
            &[("boot", boot::up), ("tenants", tenants), ("power-off", boot::power_off)],
        ),
    ]
}

fn start(machine: &mut Machine, name: &str, line: &str) -> Result<String> {
    let file = format!("/tmp/{name}.cfg");
    let text = format!("name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/busy\"\nmemory = 32\n{line}");
    machine.write_file(&file, &text)?;
    machine.ok(&format!("tenon create {file}"))
}

/// The slices of a second by CPU.
fn cpus(machine: &mut Machine) -> Result<(BTreeMap<u64, Vec<Slice>>, f64)> {
    let report = trace::trace(machine, "--no-exits")?;
    let seconds = report["seconds"].as_f64().context("the trace has no length")?;
    ensure!(report["lost"] == 0, "not all was traced: {report}");
    let file: Value = serde_json::from_str(&trace::fetch(machine, "cat /tmp/trace.json")?)?;
    let tracks = trace::tracks(file["traceEvents"].as_array().context("the trace has no events")?, seconds)?;
    let cpus = tracks.into_iter().filter(|((process, _), slices)| *process == 1 && !slices.is_empty());
    Ok((cpus.map(|((_, track), slices)| (track % 4096, slices)).collect(), seconds))
}

/// Every vCPU has a CPU of its own as long as there are some; who finds none waits for the next that becomes free.
fn seats(machine: &mut Machine) -> Result<()> {
    let said = start(machine, "one", "cpu_weight = 512\ncap = 50")?;
    ensure!(said.contains("cpu_weight and cap have no effect"), "tenon create: {said}");
    start(machine, "two", "")?;
    start(machine, "three", "cpus = \"4\"")?;
    for name in ["one", "two", "three"] {
        machine.until(&runs(name), SOON).with_context(|| format!("{name} does not run"))?;
    }
    start(machine, "four", "")?;
    let waits = "tenon dmesg | grep -q \"d4v0 waits for a CPU of its own: each that it may use has a vCPU\"";
    machine.until(waits, SOON).context("nobody says that a vCPU waits")?;

    let (cpus, seconds) = cpus(machine)?;
    let mut seated = BTreeMap::new();
    for (cpu, slices) in &cpus {
        let who: BTreeSet<&str> = slices.iter().map(|slice| slice.name.as_str()).collect();
        ensure!(who.len() == 1, "CPU {cpu} ran {who:?}");
        let ran: f64 = slices.iter().map(Slice::seconds).sum();
        seated.extend(who.first().map(|name| ((*name).to_owned(), (*cpu, ran))));
    }
    for guest in ["d1v0", "d2v0", "d3v0"] {
        let (_, ran) = seated.get(guest).with_context(|| format!("{guest} did not run: {seated:?}"))?;
        ensure!(*ran > 0.95 * seconds, "{guest} ran {ran:.3} s of {seconds:.3}: {seated:?}");
    }
    ensure!(
        seated.len() == 4 && seated["d3v0"].0 == 4,
        "not one CPU each, or not what was asked: {seated:?}"
    );

    // The seat of one that goes is had by who waits; a seat follows the affinity.
    machine.ok("tenon destroy one")?;
    gone(machine, "one")?;
    let there = format!("{} && tenon vcpu-list four | grep -qE \" 0 +{} \"", runs("four"), seated["d1v0"].0);
    machine.until(&there, SOON).context("nobody takes the seat that became free")?;
    machine.ok("tenon destroy three && tenon vcpu-pin two 0 4")?;
    machine.until(&format!("{} && tenon vcpu-list two | grep -qE \" 0 +4 \"", runs("two")), SOON)?;

    let refusal = machine.fails("tenon sched two --weight 300")?;
    ensure!(refusal.contains("sched=null") && refusal.contains("without weights and caps"), "{refusal}");
    for truth in ["tenon info | grep -q '^scheduler  *null'", "xl info | grep -q '^xen_scheduler *: null'"] {
        machine.ok(truth)?;
    }
    for name in ["two", "four"] {
        machine.ok(&format!("tenon destroy {name}"))?;
        gone(machine, name)?;
    }
    Ok(())
}

/// A condition: the only vCPU of a guest runs.
fn runs(name: &str) -> String {
    format!("tenon vcpu-list {name} | grep -q running")
}

/// Three domains want two cores: the threads of a core never run two of them, and both run one at the same time.
fn tenants(machine: &mut Machine) -> Result<()> {
    machine.ok("tenon info | grep -q '^cores .* 2 threads each'")?;
    machine.ok("xl info | grep -q '^threads_per_core *: 2'")?;
    start(machine, "one", "")?;
    start(machine, "two", "")?;
    for name in ["one", "two"] {
        machine.until(&runs(name), SOON).with_context(|| format!("{name} does not run"))?;
    }
    // With the one that the trace brings along, domain 0 wants both cores.
    machine.ok("for i in 1 2; do sh -c 'while :; do :; done' & echo $!; done > /tmp/loops")?;
    let (cpus, seconds) = cpus(machine)?;
    machine.ok("kill $(cat /tmp/loops)")?;

    let mut together = 0.0;
    for (left, right) in [(2, 3), (4, 5)] {
        let threads = [left, right].map(|cpu| cpus.get(&cpu).map_or(&[][..], Vec::as_slice));
        for a in threads[0] {
            for b in threads[1] {
                let overlap = a.end.min(b.end) - a.start.max(b.start);
                if overlap <= ROUNDING {
                    continue;
                }
                ensure!(
                    domain(a) == domain(b),
                    "CPUs {left} and {right} ran {} and {} together for {overlap} us",
                    a.name,
                    b.name
                );
                together += overlap;
            }
        }
    }
    ensure!(together > 0.0, "no core ran one domain on both threads");
    for guest in ["d0", "d1", "d2"] {
        let ran: f64 =
            cpus.values().flatten().filter(|slice| domain(slice) == guest).map(Slice::seconds).sum();
        ensure!(ran > 0.2 * seconds, "{guest} ran {ran:.3} s of {seconds:.3}");
    }
    for name in ["one", "two"] {
        machine.ok(&format!("tenon destroy {name}"))?;
        gone(machine, name)?;
    }
    Ok(())
}

/// Times in the trace have three decimals of a microsecond.
const ROUNDING: f64 = 0.002;

/// `d1` of `d1v0`.
fn domain(slice: &Slice) -> &str {
    slice.name.split('v').next().unwrap_or_default()
}

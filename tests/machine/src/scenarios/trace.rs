//! `tenon trace`: what it says of a second in which a guest and domain 0 compute is true.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

/// By how much the trace's account of CPU time may differ from the scheduler's, as a share of the time traced, beside what
/// the domain may have done before one began and after it ended.
const TOLERANCE: f64 = 0.05;
/// Starting and stopping take a moment each, and the host may be busy.
const SECONDS: std::ops::Range<f64> = 1.0..1.5;
const SOON: Duration = Duration::from_secs(120);

/// A busy guest and a busy domain 0, one second, without the guests' exits and with them.
pub fn a_second(machine: &mut Machine) -> Result<()> {
    machine.create(&Guest::new("busy"))?;
    machine.guest_up("busy", 1)?;
    machine.type_to_guest("busy", "while :; do :; done & echo busy-$((40+2))")?;
    machine.guest_says("busy", "^busy-42", 1)?;
    let id = machine.listed("busy")?.context("the guest is not listed")?["id"].clone();

    let report = trace(machine, "--no-exits")?;
    let seconds = report["seconds"].as_f64().unwrap_or(0.0);
    ensure!(SECONDS.contains(&seconds) && report["lost"] == 0, "not a second, or not all of it: {report}");
    let file = fetch(machine, "cat /tmp/trace.json")?;
    let file: Value = serde_json::from_str(&file).context("the trace is no JSON")?;
    let events = file["traceEvents"].as_array().context("the trace has no events")?;
    let tracks = tracks(events, seconds)?;
    let ran = |name: &str| -> f64 {
        let cpus = tracks.iter().filter(|((process, _), _)| *process == 1);
        cpus.flat_map(|(_, slices)| slices)
            .filter(|slice| slice.name.starts_with(name))
            .map(Slice::seconds)
            .sum()
    };
    let busy_cpus =
        tracks.iter().filter(|((process, _), slices)| *process == 1 && !slices.is_empty()).count();
    ensure!(busy_cpus > 1, "only {busy_cpus} CPUs ran something");
    let outside = seconds - report["account_seconds"].as_f64().context("no account")?;
    let domains = report["domains"].as_array().context("no domains in the report")?;
    for domain in domains {
        let (ran, used) =
            (ran(&format!("d{}v", domain["id"])), domain["cpu_seconds"].as_f64().unwrap_or(0.0));
        let vcpus = if domain["id"] == 0 { f64::from(machine.config.cpus) } else { 1.0 };
        let right = (ran - used).abs() < TOLERANCE * seconds + outside * vcpus;
        ensure!(right, "d{} ran {ran:.3} s by the trace, {used:.3} s by the scheduler", domain["id"]);
        ensure!(domain["id"] != id || ran > 0.2, "the busy guest ran {ran:.3} s of {seconds:.3}");
    }
    ensure!(domains.iter().any(|domain| domain["id"] == id), "the busy guest is not in the report: {report}");

    // With exits the file is large: one CPU's is looked at here.
    let report = trace(machine, "")?;
    let cpu = fetch(machine, "grep -m 2000 '\"tid\":4098,' /tmp/trace.json")?;
    let events: Vec<Value> = cpu
        .lines()
        .map(|line| serde_json::from_str(line.trim_end_matches(',')).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    let exits = events.iter().filter(|event| event["cat"] == "exit").count();
    ensure!(exits > 10, "{exits} exits on CPU 2: {report}");
    machine.ok("tenon destroy busy")?;
    gone(machine, "busy")
}

/// Traces a second, in which domain 0 computes, too.
pub(super) fn trace(machine: &mut Machine, options: &str) -> Result<Value> {
    machine.json(&format!(
        "sh -c 'while :; do :; done' & tenon trace --json --seconds 1 --out /tmp/trace.json {options}; kill $!"
    ))
}

/// What a command prints.
pub(super) fn fetch(machine: &mut Machine, command: &str) -> Result<String> {
    /// What gzip puts before and after what it has packed.
    const AROUND: (usize, usize) = (10, 8);
    let hex = machine.run(&format!("{command} | gzip | xxd -p"), SOON)?.output;
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair)?, 16).context("no hexadecimal digit");
    let packed = digits.as_chunks().0.iter().map(byte).collect::<Result<Vec<u8>>>()?;
    let data = packed.get(AROUND.0..packed.len().saturating_sub(AROUND.1)).context("nothing came")?;
    let bytes = miniz_oxide::inflate::decompress_to_vec(data).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(String::from_utf8(bytes)?)
}

/// A signal ends the recording, and what was recorded is written; SIGKILL leaves no file that looks like one, and the next
/// `tenon trace` works.
pub fn ended_by_signals(machine: &mut Machine) -> Result<()> {
    let begin =
        "tenon trace --seconds 600 --out /tmp/ended.json & until ls /tmp/ended.json.*; do sleep 0.1; done";
    machine.ok(&format!("rm -f /tmp/ended.json*; ({begin}; kill -KILL $!; wait $!; test $? = 137)"))?;
    machine.ok("test ! -e /tmp/ended.json && rm /tmp/ended.json.*")?;
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        machine.ok(&format!("({begin}; kill -{signal} $! && wait $!)"))?;
        machine.ok("grep -q traceEvents /tmp/ended.json && rm /tmp/ended.json && ! ls /tmp/ended.json.*")?;
    }
    Ok(())
}

/// Debian's own tracer reads the same buffers.
pub fn stock_tracer(machine: &mut Machine) -> Result<()> {
    machine.ok("xentrace -D -T 1 /tmp/trace.bin && test $(wc -c < /tmp/trace.bin) -gt 1000")?;
    let left = machine.json("tenon trace --json --off")?;
    ensure!(left["done"] == "off", "tenon trace --off: {left}");
    Ok(())
}

/// A stretch of a track.
pub(super) struct Slice {
    pub name: String,
    /// Microseconds.
    pub start: f64,
    pub end: f64,
}

impl Slice {
    pub fn seconds(&self) -> f64 {
        (self.end - self.start) / 1e6
    }
}

/// The outermost slices of every track: each ends, within the time, before the next begins.
pub(super) fn tracks(events: &[Value], seconds: f64) -> Result<BTreeMap<(u64, u64), Vec<Slice>>> {
    let mut tracks: BTreeMap<(u64, u64), (Vec<Slice>, u32)> = BTreeMap::new();
    for event in events {
        let Some(ts) = event["ts"].as_f64() else { continue };
        ensure!((0.0..=seconds * 1e6).contains(&ts), "outside of {seconds} s: {event}");
        let track = (event["pid"].as_u64().unwrap_or(0), event["tid"].as_u64().unwrap_or(0));
        let (slices, depth) = tracks.entry(track).or_default();
        let before = slices.last().map_or(0.0, |last| last.end);
        match (event["ph"].as_str(), *depth) {
            (Some("B"), 0) => {
                ensure!(ts >= before, "overlaps what ends at {before}: {event}");
                let name = event["name"].as_str().unwrap_or_default().to_owned();
                slices.push(Slice { name, start: ts, end: ts });
                *depth = 1;
            }
            (Some("E"), 1) => {
                let last = slices.last_mut().context("an end without a beginning")?;
                ensure!(ts >= last.start, "ends before it begins: {event}");
                last.end = ts;
                *depth = 0;
            }
            (Some("i"), _) => {}
            _ => ensure!(false, "slices overlap at {event}"),
        }
    }
    ensure!(tracks.values().all(|(_, depth)| *depth == 0), "a slice does not end");
    Ok(tracks.into_iter().map(|(track, (slices, _))| (track, slices)).collect())
}

//! A timeline as JSON in the trace event format, which Perfetto and Chrome open.
//!
//! Spans are written as a beginning and an end, so that rounding keeps them nested. Every event is a line.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::record::{State, Vcpu};
use super::timeline::{Exit, Span, Timeline};

/// The process of the CPUs' tracks. A domain's is its number with this added.
const CPUS: u64 = 1;
/// Tracks of one process. Their numbers are unique to the file.
const TRACKS: u64 = 1 << 12;

/// Something at a moment on a track. There may be millions, so what is written of it is made when it is.
struct Mark<'a> {
    at: u64,
    /// At the same moment: first what ends, from the inside out, then what begins.
    rank: u8,
    what: What<'a>,
}

enum What<'a> {
    Vcpu(Vcpu),
    Exit(&'a Exit),
    State(State, Option<usize>),
    Moment(&'a str),
    End,
}

impl What<'_> {
    fn event(&self) -> Value {
        match self {
            Self::Vcpu(vcpu) => json!({ "ph": "B", "cat": "vcpu", "name": vcpu.to_string() }),
            Self::Exit(Exit { name, rip }) => {
                json!({ "ph": "B", "cat": "exit", "name": name, "args": { "rip": format!("{rip:#x}") } })
            }
            Self::State(state, Some(cpu)) => {
                json!({ "ph": "B", "cat": "runstate", "name": state.name(), "args": { "cpu": cpu } })
            }
            Self::State(state, None) => json!({ "ph": "B", "cat": "runstate", "name": state.name() }),
            Self::Moment(what) => json!({ "ph": "i", "cat": "wake", "name": what, "s": "t" }),
            Self::End => json!({ "ph": "E" }),
        }
    }
}

/// Adds a span: depth 0 is the outer kind, 1 the inner.
fn add<'a, T>(marks: &mut Vec<Mark<'a>>, span: &Span<T>, depth: u8, what: What<'a>) {
    marks.push(Mark { at: span.start, rank: 2 + depth, what });
    marks.push(Mark { at: span.end, rank: 1 - depth, what: What::End });
}

/// Writes a timeline whose ticks have `hz` in a second. `names` are the domains'.
///
/// # Errors
/// What `to` says.
pub fn write(
    to: &mut impl Write,
    timeline: &Timeline,
    hz: u64,
    names: &BTreeMap<u16, String>,
) -> io::Result<()> {
    let head = json!({ "records": timeline.records, "lost": timeline.lost, "tsc_hz": hz });
    write!(to, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{head},\"traceEvents\":[")?;
    let mut out = Out { to, start: timeline.start, hz, first: true };
    out.process(CPUS, "CPUs")?;
    for (index, cpu) in timeline.cpus.iter().enumerate() {
        let mut marks = Vec::new();
        cpu.ran.iter().for_each(|span| add(&mut marks, span, 0, What::Vcpu(span.what)));
        cpu.exits.iter().for_each(|span| add(&mut marks, span, 1, What::Exit(&span.what)));
        let moments = cpu.moments.iter();
        marks.extend(moments.map(|moment| Mark { at: moment.at, rank: 4, what: What::Moment(&moment.what) }));
        out.track(Track { process: CPUS, index: index as u64 }, &format!("CPU {index}"), marks)?;
    }
    let mut last = None;
    for (vcpu, spans) in &timeline.vcpus {
        let track = Track { process: CPUS + 1 + u64::from(vcpu.domain), index: vcpu.index.into() };
        if last.replace(track.process) != Some(track.process) {
            let name = names.get(&vcpu.domain).map_or("", String::as_str);
            out.process(track.process, format!("d{} {name}", vcpu.domain).trim())?;
        }
        let mut marks = Vec::new();
        spans.iter().for_each(|span| add(&mut marks, span, 0, What::State(span.what.0, span.what.1)));
        out.track(track, &vcpu.to_string(), marks)?;
    }
    writeln!(out.to, "\n]}}")
}

#[derive(Clone, Copy)]
struct Track {
    process: u64,
    index: u64,
}

struct Out<'a, W> {
    to: &'a mut W,
    start: u64,
    hz: u64,
    first: bool,
}

impl<W: Write> Out<'_, W> {
    fn event(&mut self, event: &Value) -> io::Result<()> {
        let separator = if std::mem::take(&mut self.first) { "" } else { "," };
        write!(self.to, "{separator}\n{event}")
    }

    fn process(&mut self, process: u64, name: &str) -> io::Result<()> {
        self.event(&json!({ "ph": "M", "name": "process_name", "pid": process, "args": { "name": name } }))?;
        let order = json!({ "sort_index": process });
        self.event(&json!({ "ph": "M", "name": "process_sort_index", "pid": process, "args": order }))
    }

    fn track(&mut self, track: Track, name: &str, mut marks: Vec<Mark>) -> io::Result<()> {
        for (what, args) in [
            ("thread_name", json!({ "name": name })),
            ("thread_sort_index", json!({ "sort_index": track.index })),
        ] {
            let mut event = json!({ "ph": "M", "name": what, "args": args });
            track.put(&mut event);
            self.event(&event)?;
        }
        marks.sort_by_key(|mark| (mark.at, mark.rank));
        for mark in marks {
            let mut event = mark.what.event();
            let nanoseconds = u128::from(mark.at - self.start) * 1_000_000_000 / u128::from(self.hz);
            // Microseconds: the format's unit.
            event["ts"] = (nanoseconds as f64 / 1000.0).into();
            track.put(&mut event);
            self.event(&event)?;
        }
        Ok(())
    }
}

impl Track {
    fn put(self, event: &mut Value) {
        event["pid"] = self.process.into();
        event["tid"] = (self.process * TRACKS + self.index).into();
    }
}

#[cfg(test)]
mod tests {
    use super::super::timeline::tests::sample;
    use super::*;

    #[test]
    fn the_file_is_as_it_should_be() {
        let timeline = Timeline::new(&sample());
        let mut file = Vec::new();
        let names = BTreeMap::from([(0, "Domain-0".into()), (2, "we \"quote\"".into())]);
        write(&mut file, &timeline, 2_000_000_000, &names).unwrap();
        let file = String::from_utf8(file).unwrap();
        let golden = include_str!("golden.json");
        assert_eq!(file, golden);
        let parsed: Value = serde_json::from_str(&file).unwrap();
        assert_eq!(parsed["otherData"]["lost"], 17);
    }

    #[test]
    fn an_empty_trace_is_json() {
        let mut file = Vec::new();
        write(&mut file, &Timeline::default(), 1, &BTreeMap::new()).unwrap();
        let parsed: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(parsed["traceEvents"].as_array().unwrap().len(), 2);
    }
}

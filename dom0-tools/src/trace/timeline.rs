//! Who did what and when.
//!
//! A CPU that runs a vCPU all the time, or has lost records, does not say who runs; but whoever stops next was running.
//! So a trace ends with all CPUs changing over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::names;
use super::record::{Event, Record, State, Vcpu};

/// A stretch of time, in ticks, in which something held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span<T> {
    /// When it began.
    pub start: u64,
    /// When it ended; later than `start`.
    pub end: u64,
    /// What held.
    pub what: T,
}

/// A moment at which a CPU did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, in ticks.
    pub at: u64,
    /// What.
    pub what: String,
}

/// An exit, from leaving the guest to entering it again or to running something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its kind.
    pub name: Cow<'static, str>,
    /// The guest's instruction pointer.
    pub rip: u64,
}

/// A vCPU's run state, and where it runs if it does.
pub type Stay = (State, Option<usize>);

/// What one CPU did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Whom it ran. The spans do not overlap.
    pub ran: Vec<Span<Vcpu>>,
    /// Exits; each lies in one span of `ran`.
    pub exits: Vec<Span<Exit>>,
    /// Wake-ups and kicks that it sent.
    pub moments: Vec<Moment>,
}

/// A trace, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The time of the first record, in ticks.
    pub start: u64,
    /// The time of the last.
    pub end: u64,
    /// Records that were there.
    pub records: usize,
    /// Records that were lost.
    pub lost: u64,
    /// By number.
    pub cpus: Vec<Cpu>,
    /// The run states of each vCPU. The spans do not overlap.
    pub vcpus: BTreeMap<Vcpu, Vec<Span<Stay>>>,
}

impl Timeline {
    /// Understands the records of each CPU.
    #[must_use]
    pub fn new(records: &[Vec<Record>]) -> Self {
        let times = || records.iter().flatten().map(|record| record.tsc);
        let (start, end) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let lost = |record: &Record| if let Event::Lost(count) = record.event { count.into() } else { 0 };
        Self {
            start,
            end,
            records: times().count(),
            lost: records.iter().flatten().map(lost).sum(),
            cpus: records.iter().map(|records| cpu(records, start, end)).collect(),
            vcpus: vcpus(records, start, end),
        }
    }

    /// How long a domain's vCPUs ran, together, in ticks.
    #[must_use]
    pub fn run_time(&self, domain: u16) -> u64 {
        let spans = self.cpus.iter().flat_map(|cpu| &cpu.ran).filter(|span| span.what.domain == domain);
        spans.map(|span| span.end - span.start).sum()
    }
}

/// Adds a span, if it has a length.
fn push<T>(spans: &mut Vec<Span<T>>, start: u64, end: u64, what: T) {
    if start < end {
        spans.push(Span { start, end, what });
    }
}

fn cpu(records: &[Record], start: u64, end: u64) -> Cpu {
    let ran = ran(records, start, end);
    let (mut exits, mut moments) = (Vec::new(), Vec::new());
    let mut exit: Option<(u64, Exit)> = None;
    for Record { tsc, event } in records {
        match *event {
            Event::Exit { code, rip } => exit = Some((*tsc, Exit { name: names::exit(code), rip })),
            Event::Hypercall(number) => {
                if let Some((_, exit)) = &mut exit {
                    exit.name = names::hypercall(number);
                }
            }
            Event::Entry | Event::Runstate { from: State::Running, .. } => {
                if let Some((since, exit)) = exit.take() {
                    push(&mut exits, since, *tsc, exit);
                }
            }
            Event::Runstate { vcpu, from: State::Blocked, to: State::Runnable } => {
                moments.push(Moment { at: *tsc, what: format!("wakes {vcpu}") });
            }
            Event::Runstate { .. } => {}
            Event::Kick(cpu) => moments.push(Moment { at: *tsc, what: format!("kicks CPU {cpu}") }),
            Event::Lost(_) => exit = None,
        }
    }
    // Where it is not known who ran, exits say nothing.
    exits.retain(|exit| {
        let after = ran.partition_point(|span| span.start <= exit.start);
        after > 0 && exit.end <= ran[after - 1].end
    });
    Cpu { ran, exits, moments }
}

/// Whom a CPU ran.
fn ran(records: &[Record], start: u64, end: u64) -> Vec<Span<Vcpu>> {
    let mut ran = Vec::new();
    // Since when this vCPU runs; or since when nothing was lost, but it is not known who runs.
    let (mut since, mut running, mut unknown) = (start, None, true);
    let mut last = start;
    for Record { tsc, event } in records {
        match *event {
            Event::Runstate { vcpu, to: State::Running, .. } => {
                (since, running, unknown) = (*tsc, Some(vcpu), false)
            }
            Event::Runstate { vcpu, from: State::Running, .. } => {
                if unknown || running == Some(vcpu) {
                    push(&mut ran, since, *tsc, vcpu);
                }
                (running, unknown) = (None, false);
            }
            Event::Lost(_) => {
                if let Some(vcpu) = running.take() {
                    push(&mut ran, since, last, vcpu);
                }
                (since, unknown) = (*tsc, true);
            }
            _ => {}
        }
        last = *tsc;
    }
    if let Some(vcpu) = running {
        push(&mut ran, since, end, vcpu);
    }
    ran
}

fn vcpus(records: &[Vec<Record>], start: u64, end: u64) -> BTreeMap<Vcpu, Vec<Span<Stay>>> {
    let changes = records.iter().enumerate().flat_map(|(cpu, records)| {
        records.iter().filter_map(move |record| match record.event {
            Event::Runstate { vcpu, from, to } if from != to => Some((record.tsc, cpu, vcpu, from, to)),
            _ => None,
        })
    });
    let mut changes: Vec<_> = changes.collect();
    changes.sort_by_key(|change| change.0);
    let mut all: BTreeMap<Vcpu, (Vec<_>, State, u64, Option<usize>)> = BTreeMap::new();
    for (tsc, cpu, vcpu, from, to) in changes {
        let here = |state| (state == State::Running).then_some(cpu);
        let (spans, state, since, on) =
            all.entry(vcpu).or_insert_with(|| (Vec::new(), from, start, here(from)));
        // Otherwise a change in between was lost.
        if *state == from {
            push(spans, *since, tsc, (from, *on));
        }
        (*state, *since, *on) = (to, tsc, here(to));
    }
    let finish = |(vcpu, (mut spans, state, since, on)): (Vcpu, (Vec<_>, _, _, _))| {
        push(&mut spans, since, end, (state, on));
        (vcpu, spans)
    };
    all.into_iter().map(finish).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const D0: Vcpu = Vcpu { domain: 0, index: 1 };
    pub const D1: Vcpu = Vcpu { domain: 1, index: 0 };
    pub const D2: Vcpu = Vcpu { domain: 2, index: 3 };

    pub fn change(tsc: u64, vcpu: Vcpu, from: State, to: State) -> Record {
        Record { tsc, event: Event::Runstate { vcpu, from, to } }
    }

    /// Two CPUs: the first runs d1v0 and d2v3 after it; the second runs d0v1, wakes d2v3, and loses records.
    pub fn sample() -> [Vec<Record>; 2] {
        use State::{Blocked, Offline, Runnable, Running};
        let at = |tsc, event| Record { tsc, event };
        [
            vec![
                at(1_000, Event::Exit { code: 0x78, rip: 0xffff_ffff_8100_0000 }),
                at(1_300, Event::Entry),
                at(2_000, Event::Exit { code: 0x81, rip: 0x1000 }),
                at(2_010, Event::Hypercall(29)),
                change(2_500, D1, Running, Blocked),
                change(2_600, D2, Runnable, Running),
                at(2_700, Event::Entry),
                at(3_000, Event::Exit { code: 0x400, rip: 0x2000 }),
            ],
            vec![
                change(1_100, D2, Blocked, Runnable),
                at(1_110, Event::Kick(0)),
                change(1_200, D0, Running, Offline),
                change(1_400, D0, Offline, Running),
                at(1_500, Event::Entry),
                at(2_100, Event::Lost(17)),
                at(2_200, Event::Entry),
                change(2_400, D0, Running, Runnable),
            ],
        ]
    }

    #[test]
    fn who_ran_is_known_also_from_who_stopped() {
        let timeline = Timeline::new(&sample());
        let ran =
            |cpu: usize| timeline.cpus[cpu].ran.iter().map(|s| (s.start, s.end, s.what)).collect::<Vec<_>>();
        assert_eq!((timeline.start, timeline.end, timeline.records, timeline.lost), (1_000, 3_000, 16, 17));
        assert_eq!(ran(0), [(1_000, 2_500, D1), (2_600, 3_000, D2)]);
        assert_eq!(ran(1), [(1_000, 1_200, D0), (1_400, 1_500, D0), (2_100, 2_400, D0)]);
        assert_eq!((timeline.run_time(0), timeline.run_time(1), timeline.run_time(2)), (600, 1_500, 400));
    }

    #[test]
    fn exits_end_with_an_entry_or_another_vcpu() {
        let timeline = Timeline::new(&sample());
        let exits: Vec<_> =
            timeline.cpus[0].exits.iter().map(|s| (s.start, s.end, &*s.what.name, s.what.rip)).collect();
        assert_eq!(exits, [(1_000, 1_300, "HLT", 0xffff_ffff_8100_0000), (2_000, 2_500, "sched_op", 0x1000)]);
        assert!(timeline.cpus[1].exits.is_empty());
    }

    #[test]
    fn an_empty_trace_is_one() {
        assert_eq!(Timeline::new(&[]), Timeline::default());
        assert_eq!(Timeline::new(&[vec![], vec![]]).cpus.len(), 2);
    }
}

//! The records of a ring, as `hypercall_abi::trace` describes them.

use std::fmt;

use hypercall_abi::trace as abi;

/// A vCPU: its domain's number, and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vcpu {
    /// The domain.
    pub domain: u16,
    /// The vCPU.
    pub index: u16,
}

impl fmt::Display for Vcpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}v{}", self.domain, self.index)
    }
}

/// A vCPU's run state, in the interface's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It waits for a CPU.
    Runnable,
    /// It waits for an event.
    Blocked,
    /// It may not run.
    Offline,
}

impl State {
    /// The state whose number is in the two bits at `shift`.
    fn at(word: u32, shift: u32) -> Self {
        [Self::Running, Self::Runnable, Self::Blocked, Self::Offline][(word >> shift & 3) as usize]
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Blocked => "blocked",
            Self::Offline => "offline",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A vCPU changed its run state.
    Runstate {
        /// Which.
        vcpu: Vcpu,
        /// Before.
        from: State,
        /// After.
        to: State,
    },
    /// The CPU entered its guest.
    Entry,
    /// It left it.
    Exit {
        /// The hardware's number for the cause.
        code: u32,
        /// The guest's instruction pointer.
        rip: u64,
    },
    /// The exit was this hypercall.
    Hypercall(u32),
    /// It interrupted that CPU to make it look at its work.
    Kick(u32),
    /// So many records before this one were lost.
    Lost(u32),
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, in ticks of the time-stamp counter.
    pub tsc: u64,
    /// What.
    pub event: Event,
}

/// The records in the words that came out of one ring. Events that mean nothing here are left out.
#[must_use]
pub fn records(mut words: &[u32]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((&head, rest)) = words.split_first() {
        let extra = (head >> abi::EXTRA_SHIFT & abi::EXTRA_MAX) as usize;
        let time = if head & abi::CYCLE_FLAG == 0 { 0 } else { 2 };
        let Some((record, after)) = rest.split_at_checked(time + extra) else { break };
        words = after;
        if let [low, high, extra @ ..] = record
            && time == 2
            && let Some(event) = event(head << 4 >> 4, extra)
        {
            records.push(Record { tsc: u64::from(*low) | u64::from(*high) << 32, event });
        }
    }
    records
}

fn event(number: u32, extra: &[u32]) -> Option<Event> {
    /// Where a change of run state has its two states.
    const STATES: u32 = 0x330;
    Some(match (number, extra) {
        (change, [who]) if change & !STATES == abi::SCHED_RUNSTATE_CHANGE => Event::Runstate {
            vcpu: Vcpu { domain: (who >> 16) as u16, index: *who as u16 },
            from: State::at(change, 8),
            to: State::at(change, 4),
        },
        (abi::HVM_VMENTRY, []) => Event::Entry,
        (abi::HVM_VMEXIT64, [code, low, high]) => {
            Event::Exit { code: *code, rip: u64::from(*low) | u64::from(*high) << 32 }
        }
        (abi::HVM_VMMCALL, [number]) => Event::Hypercall(*number),
        (abi::SCHED_KICK, [cpu]) => Event::Kick(*cpu),
        (abi::LOST_RECORDS, [count, ..]) => Event::Lost(*count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_fillers_passed_over() {
        let mut words = vec![abi::WRAP_BUFFER | 2 << 28, 7, 7];
        words.extend(abi::record(abi::SCHED_RUNSTATE_CHANGE | 2 << 8 | 1 << 4, 1 << 32 | 5, [3 << 16 | 1]));
        words.extend(abi::record(0x1234, 6, [1, 2]));
        words.extend(abi::record(abi::HVM_VMEXIT64, 7, [0x7b, 0x10, 0xffff_8000]));
        words.extend(abi::record(abi::LOST_RECORDS, 8, [9, 0x7fff, 0, 0]));
        words.extend(abi::record(abi::HVM_VMENTRY, 9, []).take(2));
        let vcpu = Vcpu { domain: 3, index: 1 };
        let expected = [
            (1 << 32 | 5, Event::Runstate { vcpu, from: State::Blocked, to: State::Runnable }),
            (7, Event::Exit { code: 0x7b, rip: 0xffff_8000_0000_0010 }),
            (8, Event::Lost(9)),
        ];
        assert_eq!(records(&words), expected.map(|(tsc, event)| Record { tsc, event }));
    }
}

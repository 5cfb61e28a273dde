//! What one CPU notes about another that it looks after, for the hypervisor's watchdog.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::time::Nanos;

/// The notes of one CPU, which alone uses them. The atomics are for the type's sake.
#[derive(Debug, Default)]
pub struct Heartbeat {
    beat: AtomicU64,
    since: AtomicU64,
}

impl Heartbeat {
    /// Whether the other CPU is stuck: `beat`, a number that changes whenever it gets on, is what it was `timeout` ns ago and
    /// at every look since. `None`: it is where it may stay, idle or in a guest. Once stuck, it is said so again only after
    /// the same time.
    pub fn is_stuck(&self, beat: Option<u64>, now: Nanos, timeout: u64) -> bool {
        let number = beat.unwrap_or(u64::MAX);
        let moves = beat.is_none() || self.beat.swap(number, Relaxed) != number;
        let is_stuck = !moves && now.since(Nanos(self.since.load(Relaxed))) >= timeout;
        if moves || is_stuck {
            self.since.store(now.0, Relaxed);
        }
        is_stuck
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_one_that_does_nothing_for_long_is_stuck() {
        let notes = Heartbeat::default();
        let mut looks = [
            (Some(4), 100, false),
            (Some(4), 199, false),
            (Some(4), 200, true),
            (Some(4), 210, false),
            (Some(4), 300, true),
            (Some(6), 310, false),
            (None, 390, false),
            // Idle or in a guest meanwhile.
            (Some(6), 480, false),
            (Some(6), 490, true),
        ]
        .into_iter();
        assert!(looks.all(|(beat, now, stuck)| notes.is_stuck(beat, Nanos(now), 100) == stuck));
    }
}

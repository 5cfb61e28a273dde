//! How much output a guest may cause to be handled: a burst, and then so much per second.
//!
//! A guest that exceeds it is not read from for a while. It waits, as it would for a slow serial line; nothing
//! of its output is lost, and what it costs domain 0 is bounded.

use std::time::{Duration, Instant};

/// Bytes that a guest may send at once: a kernel's whole boot log and then some.
const BURST: u64 = 512 * 1024;
/// Bytes per second that it may send on average.
const PER_SECOND: u64 = 128 * 1024;

/// One guest's budget.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: u64,
    at: Instant,
}

impl Budget {
    /// A full budget.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Bytes that may be handled now.
    pub fn left(&mut self, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(self.at).as_millis();
        let earned = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_mul(PER_SECOND) / 1000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.at = now;
        }
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    /// `bytes` were handled.
    pub fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
    }

    /// How long a guest without budget waits: until reading from it is worth the wake-up.
    pub const PAUSE: Duration = Duration::from_millis(50);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_slowed_to_the_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut handled = 0_u64;
        for tick in 0..20 * 10 {
            let now = start + Budget::PAUSE * tick;
            let left = budget.left(now);
            handled += left as u64;
            budget.spend(left);
        }
        assert!(handled <= BURST + PER_SECOND * 10);
        assert!(handled > BURST + PER_SECOND * 9);
    }
}

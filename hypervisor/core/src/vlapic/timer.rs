//! The local APIC's timer: one-shot and periodic counting, and TSC deadline.
//!
//! Time comes in as arguments and goes out as the next [`Deadline`]; nothing here waits.

/// Nanoseconds per tick of the APIC bus before the divider: 100 MHz.
pub const BUS_TICK_NS: u64 = 10;
/// The shortest period that is served, in nanoseconds: a guest that asks for less gets the interrupts merged.
pub const MIN_PERIOD_NS: u64 = 50_000;

/// Where the timer reads the time. Both are read only by the registers that show or start a count.
pub trait Clock {
    /// Nanoseconds of a clock that never goes back.
    fn nanoseconds(&self) -> u64;
    /// The vCPU's time stamp counter, as the guest sees it.
    fn guest_tsc(&self) -> u64;
}

/// When the timer has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// At this value of [`Clock::nanoseconds`].
    Nanoseconds(u64),
    /// At this value of [`Clock::guest_tsc`].
    Tsc(u64),
}

/// The timer mode of the LVT entry (SDM vol. 3, 10.5.4); the fourth encoding is reserved and counts as stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimerMode {
    OneShot,
    Periodic,
    TscDeadline,
    Reserved,
}

impl TimerMode {
    const fn from_lvt(lvt: u32) -> Self {
        match lvt >> 17 & 3 {
            0 => Self::OneShot,
            1 => Self::Periodic,
            2 => Self::TscDeadline,
            _ => Self::Reserved,
        }
    }
}

/// State of one timer. The vector and the mask stay in the LVT entry.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    mode: TimerMode,
    pub(super) initial: u32,
    pub(super) divide: u8,
    /// The nanosecond since which it counts down from the initial count, if it does.
    since: Option<u64>,
    /// The deadline MSR; 0 is disarmed.
    pub(super) tsc: u64,
}

impl Timer {
    pub(super) const fn new() -> Self {
        Self { mode: TimerMode::OneShot, initial: 0, divide: 0, since: None, tsc: 0 }
    }

    /// Takes over the mode of a newly written LVT entry. Entering or leaving deadline mode disarms.
    pub(super) fn set_mode(&mut self, lvt: u32) {
        let mode = TimerMode::from_lvt(lvt);
        if mode != self.mode && (mode == TimerMode::TscDeadline || self.mode == TimerMode::TscDeadline) {
            self.since = None;
            self.initial = 0;
            self.tsc = 0;
        }
        self.mode = mode;
    }

    pub(super) fn start(&mut self, initial: u32, clock: &impl Clock) {
        if self.mode != TimerMode::TscDeadline {
            self.initial = initial;
            self.since = (initial != 0).then(|| clock.nanoseconds());
        }
    }

    /// Changes the divider. A running count goes on from the value it has.
    pub(super) fn set_divide(&mut self, divide: u8, clock: &impl Clock) {
        let left = self.current(clock);
        self.divide = divide & 0b1011;
        let done = u64::from(self.initial.saturating_sub(left)) * self.tick();
        self.since = self.since.map(|_| clock.nanoseconds().saturating_sub(done));
    }

    /// Nanoseconds per count: divide bits 3, 1, 0 give a power of two, with 0b111 for "by one".
    const fn tick(&self) -> u64 {
        let code = (self.divide & 3) | (self.divide >> 1 & 4);
        BUS_TICK_NS << ((code + 1) & 7)
    }

    const fn period(&self) -> u64 {
        self.initial as u64 * self.tick()
    }

    pub(super) fn current(&self, clock: &impl Clock) -> u32 {
        let Some(since) = self.since else { return 0 };
        let ticks = clock.nanoseconds().saturating_sub(since) / self.tick();
        let initial = u64::from(self.initial);
        let left = match self.mode {
            TimerMode::Periodic => initial - ticks.checked_rem(initial).unwrap_or(0),
            _ => initial.saturating_sub(ticks),
        };
        left as u32
    }

    pub(super) fn set_tsc_deadline(&mut self, tsc: u64) {
        if self.mode == TimerMode::TscDeadline {
            self.tsc = tsc;
        }
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        let after = |period| Some(Deadline::Nanoseconds(self.since?.saturating_add(period)));
        match self.mode {
            TimerMode::OneShot => after(self.period()),
            TimerMode::Periodic => after(self.period().max(MIN_PERIOD_NS)),
            TimerMode::TscDeadline => (self.tsc != 0).then_some(Deadline::Tsc(self.tsc)),
            TimerMode::Reserved => None,
        }
    }

    /// Whether the deadline has passed; if so the timer stops or starts its next period.
    #[inline]
    pub(super) fn expire(&mut self, clock: &impl Clock) -> bool {
        match self.deadline() {
            Some(Deadline::Tsc(tsc)) => {
                let due = clock.guest_tsc() >= tsc;
                if due {
                    self.tsc = 0;
                }
                due
            }
            Some(Deadline::Nanoseconds(at)) => {
                let now = clock.nanoseconds();
                let due = now >= at;
                if due {
                    let period = self.period();
                    let latest = |since: u64| now - (now - since).checked_rem(period).unwrap_or(0);
                    self.since = self.since.filter(|_| self.mode == TimerMode::Periodic).map(latest);
                }
                due
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct At(u64);
    impl Clock for At {
        fn nanoseconds(&self) -> u64 {
            self.0
        }
        fn guest_tsc(&self) -> u64 {
            self.0
        }
    }

    const PERIODIC: u32 = 1 << 17;
    const DEADLINE: u32 = 2 << 17;

    #[test]
    fn one_shot_counts_down_once() {
        let mut t = Timer::new();
        t.set_divide(0b1011, &At(0));
        t.start(1000, &At(5));
        assert_eq!(t.deadline(), Some(Deadline::Nanoseconds(10_005)));
        assert_eq!(t.current(&At(5_005)), 500);
        assert!(!t.expire(&At(10_004)));
        assert!(t.expire(&At(10_005)));
        assert_eq!((t.deadline(), t.current(&At(10_006))), (None, 0));
        assert!(!t.expire(&At(20_000)));
    }

    #[test]
    fn periodic_keeps_its_phase_and_merges_what_it_missed() {
        let mut t = Timer::new();
        t.set_mode(PERIODIC);
        t.set_divide(0b1011, &At(0));
        t.start(10_000, &At(0));
        assert!(t.expire(&At(350_000)));
        assert_eq!(t.deadline(), Some(Deadline::Nanoseconds(400_000)));
        assert!(!t.expire(&At(350_001)));
    }

    #[test]
    fn deadline_mode_is_its_own_world() {
        let mut t = Timer::new();
        t.set_tsc_deadline(77);
        assert_eq!(t.tsc, 0);
        t.set_mode(DEADLINE);
        t.start(1000, &At(0));
        t.set_tsc_deadline(77);
        assert_eq!(t.deadline(), Some(Deadline::Tsc(77)));
        assert!(!t.expire(&At(76)));
        assert!(t.expire(&At(77)));
        assert_eq!(t.tsc, 0);
        t.set_tsc_deadline(100);
        t.set_mode(0);
        assert_eq!(t.deadline(), None);
    }

    #[test]
    fn dividers() {
        for (code, by) in [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)] {
            let mut t = Timer::new();
            t.set_divide(code, &At(0));
            assert_eq!(t.tick(), BUS_TICK_NS * by);
        }
    }

    proptest! {
        #[test]
        fn any_programming_is_safe(
            steps in prop::collection::vec((0u8..5, any::<u64>()), 0..40),
            times in prop::collection::vec(any::<u64>(), 40),
        ) {
            let mut t = Timer::new();
            for ((what, value), now) in steps.into_iter().zip(times) {
                match what {
                    0 => t.set_mode(value as u32),
                    1 => t.start(value as u32, &At(now)),
                    2 => t.set_divide(value as u8, &At(now)),
                    3 => t.set_tsc_deadline(value),
                    _ => { t.expire(&At(now)); }
                }
                prop_assert!(t.current(&At(now)) <= t.initial);
            }
        }
    }
}

//! Units of time.

use core::ops::Add;

use crate::ratio::Ratio;

/// Nanoseconds since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Later than anything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// One millisecond.
    pub const MILLISECOND: u64 = 1_000_000;

    /// What is left until `self` at `now`; 0 if it is past.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Nanos {
    type Output = Self;

    fn add(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

/// A time-stamp counter value of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tsc(pub u64);

/// How far another CPU's counter can be ahead of this one's, modulo 2^64, by all that was seen of the two.
///
/// Whoever then counts from the counters less any value in between never sees an effect before its cause, as far as what
/// was seen goes: nothing passes from one CPU to the other quicker than the messages of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Skew {
    least: i64,
    most: i64,
}

impl Skew {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { least: i64::MIN, most: i64::MAX };

    /// The other counter was read as `there` after this one was as `before`, and before it was as `after`.
    pub fn narrow(&mut self, before: u64, there: u64, after: u64) {
        self.least = self.least.max(there.wrapping_sub(after) as i64);
        self.most = self.most.min(there.wrapping_sub(before) as i64);
    }

    /// The skew: none if there need not be any. `None` if the counters do not go at one rate.
    pub fn value(&self) -> Option<i64> {
        match (self.least, self.most) {
            (least, most) if least > most => None,
            (..=0, 0..) => Some(0),
            (least, most) => Some(least + (most - least) / 2),
        }
    }
}

/// Ticks to nanoseconds as pvclock has it (`public/xen.h`, `vcpu_time_info`):
/// `ns = ((ticks << shift) * mul) >> 32`.
///
/// A guest goes on from what it was shown once, for as long as it runs, and the machine's own clock must not drift away
/// from that: [`ratio`](Self::ratio) is the same factor to the last bit. The shift is never negative, because that would
/// drop ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscScale {
    /// The multiplier, a fraction of 2^32.
    pub mul: u32,
    /// The shift that comes first, not negative.
    pub shift: i8,
    /// The same as a frequency, in Hz.
    pub hz: u64,
}

impl TscScale {
    /// The scale of a counter that runs at `hz`; `None` below 1 kHz and from 1 THz.
    pub fn from_hz(hz: u64) -> Option<Self> {
        if !(1_000..1_000_000_000_000).contains(&hz) {
            return None;
        }
        // ns per tick as a fraction of 2^32.
        let mut shift = 0i8;
        let mut ratio = (1_000_000_000u128 << 32) / u128::from(hz);
        while ratio >= 1 << 32 {
            shift += 1;
            ratio = (1_000_000_000u128 << 32) / (u128::from(hz) << shift);
        }
        Some(Self { mul: ratio as u32, shift, hz })
    }

    /// The same factor.
    pub fn ratio(&self) -> Ratio {
        Ratio::from_fixed(u64::from(self.mul) << self.shift)
    }

    /// The nanoseconds that so many ticks take.
    pub fn to_ns(&self, ticks: u64) -> u64 {
        self.ratio().apply(ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counters_of_two_rates_have_no_skew() {
        let mut skew = Skew::UNKNOWN;
        skew.narrow(0, 105, 10);
        assert_eq!(skew.value(), Some(100));
        skew.narrow(1_000, 1_205, 1_010);
        assert_eq!(skew.value(), None);
    }

    #[test]
    fn known_frequencies() {
        for mhz in [1, 999, 1_000, 1_001, 2_400, 3_999, 5_000] {
            let scale = TscScale::from_hz(mhz * 1_000_000).unwrap();
            let second = scale.to_ns(mhz * 1_000_000);
            assert!((999_999_990..=1_000_000_000).contains(&second), "{mhz} MHz: {second} {scale:?}");
        }
        assert_eq!(TscScale::from_hz(0), None);
    }

    proptest! {
        #[test]
        fn a_skew_is_found_to_within_the_quickest_message(
            skew in -1_i64 << 40..1 << 40,
            start in any::<u64>(),
            trips in prop::collection::vec((0u64..10_000, 100u64..5_000, 100u64..5_000), 1..50),
        ) {
            let mut found = Skew::UNKNOWN;
            let mut now = start;
            for (pause, there, back) in &trips {
                let before = now.wrapping_add(*pause);
                now = before.wrapping_add(there + back);
                found.narrow(before, before.wrapping_add(*there).wrapping_add_signed(skew), now);
            }
            let value = found.value().unwrap();
            // Nobody who sends a message as quick as the quickest one sees time go back.
            let there = trips.iter().map(|trip| trip.1).min().unwrap() as i64;
            let back = trips.iter().map(|trip| trip.2).min().unwrap() as i64;
            prop_assert!((-back..=there).contains(&(value - skew)), "{value} for {skew}");
            prop_assert!(skew != 0 || value == 0);
        }

        #[test]
        fn a_guest_that_was_shown_the_time_long_ago_still_has_it(
            hz in 1_000u64..1_000_000_000_000,
            shown in 0u64..1 << 60,
            since in 0u64..1 << 60,
        ) {
            let scale = TscScale::from_hz(hz).unwrap();
            let clock = |ticks| u128::from(scale.ratio().apply(ticks));
            // As the guest reckons.
            let passed = ((u128::from(since) << scale.shift) * u128::from(scale.mul)) >> 32;
            let guest = clock(shown) + passed;
            prop_assume!(clock(shown + since) < u128::from(u64::MAX));
            prop_assert!((0..=1).contains(&(clock(shown + since) - guest)));
        }

        #[test]
        fn there_and_back(hz in 1_000_000u64..10_000_000_000, ns in 0u64..1_000_000_000_000) {
            let scale = TscScale::from_hz(hz).unwrap();
            let back = scale.to_ns((u128::from(ns) * u128::from(hz)).div_ceil(1_000_000_000) as u64);
            prop_assert!(back.abs_diff(ns) <= 1_000_000_000 / hz + ns / 100_000_000 + 2);
        }
    }
}

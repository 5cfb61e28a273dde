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

//! Conversion between clocks: multiplication by a fraction in 32.32 fixed point.

/// A factor, stored as its 32.32 fixed-point value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u64);

impl Ratio {
    /// The factor 1.
    pub const ONE: Self = Self(1 << 32);

    /// The factor `to / from`, for counts of a clock of `from` Hz that become counts of one of `to` Hz.
    ///
    /// `None` if `from` is zero or the factor is 2^32 or more.
    pub fn between(from: u64, to: u64) -> Option<Self> {
        let scaled = (u128::from(to) << 32).checked_div(u128::from(from))?;
        u64::try_from(scaled).ok().map(Self)
    }

    /// The factor with this 32.32 fixed-point value.
    pub const fn from_fixed(value: u64) -> Self {
        Self(value)
    }

    /// Its 32.32 fixed-point value.
    pub const fn fixed(self) -> u64 {
        self.0
    }

    /// Converts a count, rounding down, to what is known to fit: ns since boot, say.
    #[inline]
    pub fn apply_small(self, count: u64) -> u64 {
        ((u128::from(count) * u128::from(self.0)) >> 32) as u64
    }

    /// Converts a count, rounding down; saturates.
    #[inline]
    pub fn apply(self, count: u64) -> u64 {
        let scaled = (u128::from(count) * u128::from(self.0)) >> 32;
        if scaled > u128::from(u64::MAX) { u64::MAX } else { scaled as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gigahertz_clock_counts_nanoseconds() {
        let ratio = Ratio::between(1_000_000_000, 1_000_000_000).unwrap();
        assert_eq!(ratio.apply(12_345), 12_345);
        assert_eq!(Ratio::between(0, 1), None);
        assert_eq!(Ratio::between(1, 1 << 32), None);
        assert_eq!(Ratio::between(1, 1 << 31).unwrap().apply(u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn conversion_is_monotonic_and_close(hz in 100_000_000u64..10_000_000_000, a in 0u64..1 << 60, d in 0u64..1 << 40) {
            let ratio = Ratio::between(hz, 1_000_000_000).unwrap();
            prop_assert!(ratio.apply(a) <= ratio.apply(a + d));
            let exact = u128::from(a) * 1_000_000_000 / u128::from(hz);
            let error = exact.abs_diff(u128::from(ratio.apply(a)));
            // The factor is good to 2^-32, so the error is at most the count times that, plus rounding.
            prop_assert!(error <= (u128::from(a) >> 32) + 1);
        }
    }
}

//! Virtual time.
//!
//! A vCPU's virtual time is the time that it ran, divided by its weight. A queue's clock is the weighted mean over
//! those that want its CPU: where each of them would be had the CPU been shared out to the nanosecond. Who is behind
//! the clock is owed time, who is ahead of it has had more than its share.

use super::SLICE;

/// Virtual time that a weight of one runs up in a nanosecond.
const SCALE: u64 = 1 << 16;

/// A point in virtual time. It wraps around; what is compared is never far apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vtime(pub u64);

impl Vtime {
    /// How far this is ahead of another point; negative if it is behind.
    pub fn ahead_of(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }

    /// The point that far ahead.
    pub fn plus(self, distance: i64) -> Self {
        Self(self.0.wrapping_add_signed(distance))
    }
}

/// The virtual time that a weight runs up in so many ns.
pub(super) fn virtual_ns(ns: u64, weight: u64) -> i64 {
    (ns.saturating_mul(SCALE) / weight.max(1)).min(i64::MAX as u64) as i64
}

/// The ns in which a weight runs up that much virtual time.
pub(super) fn real_ns(distance: i64, weight: u64) -> u64 {
    (distance.max(0) as u64).saturating_mul(weight) / SCALE
}

/// The virtual time of a slice.
pub(super) fn slice(weight: u64) -> i64 {
    virtual_ns(SLICE, weight)
}

/// The weighted mean of the members' virtual times.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The mean, rounded down.
    mean: Vtime,
    /// The members' distances from there, each times its weight: what was rounded off, so less than the weight.
    rest: i64,
    /// The members' weights.
    weight: u64,
}

impl Clock {
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The mean. Some member is not ahead of it.
    pub fn now(&self) -> Vtime {
        self.mean
    }

    /// The mean once a member has run on for `ns`.
    pub fn after(&self, ns: u64) -> Vtime {
        self.now().plus(virtual_ns(ns, self.weight))
    }

    pub fn join(&mut self, vtime: Vtime, weight: u64) {
        if self.weight == 0 {
            self.mean = vtime;
        }
        self.weight += weight;
        self.settle(vtime.ahead_of(self.mean) * weight as i64);
    }

    pub fn leave(&mut self, vtime: Vtime, weight: u64) {
        self.weight -= weight;
        self.settle(-vtime.ahead_of(self.mean) * weight as i64);
    }

    /// A member has run up more virtual time.
    pub fn advance(&mut self, distance: i64, weight: u64) {
        self.settle(distance * weight as i64);
    }

    /// The members' distances from the mean have become so much more: it moves.
    fn settle(&mut self, more: i64) {
        if self.weight == 0 {
            // Without members it stays where it was last.
            self.rest = 0;
            return;
        }
        let sum = self.rest + more;
        // Rounded down. Most often it goes forward, and there is nothing to round.
        let moved =
            if sum >= 0 { (sum as u64 / self.weight) as i64 } else { sum.div_euclid(self.weight as i64) };
        self.rest = sum - moved * self.weight as i64;
        self.mean = self.mean.plus(moved);
    }
}

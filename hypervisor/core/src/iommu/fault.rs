//! Accesses of devices that a unit has refused.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::time::Nanos;
use crate::vpci::Bdf;

/// Reports that are logged at once, and how long it takes until as many may be again.
const BURST: u32 = 10;
const INTERVAL: u64 = 1000 * Nanos::MILLISECOND;

/// Why an access was refused, in the words of the unit's manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is mapped there, or not for that.
    Mapping,
    /// Another, by its number: VT-d specification, table 35; AMD IOMMU specification, 2.5.
    Other(u8),
}

/// An access that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The device.
    pub device: Bdf,
    /// The address that it used.
    pub address: u64,
    /// Whether it wanted to write.
    pub write: bool,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, address, write, reason } = self;
        let what = if *write { "write to" } else { "read from" };
        write!(f, "device {device}: {what} {address:#x} blocked")?;
        match reason {
            Reason::Mapping => Ok(()),
            Reason::Other(number) => write!(f, " (reason {number:#x})"),
        }
    }
}

/// Keeps a device from filling the log.
#[derive(Debug, Default)]
pub struct FaultLimit {
    until: AtomicU64,
    seen: AtomicU32,
}

impl FaultLimit {
    /// None seen.
    pub const fn new() -> Self {
        Self { until: AtomicU64::new(0), seen: AtomicU32::new(0) }
    }

    /// Counts a report. Whether to log it; before the first of an interval, how many of the last were not logged.
    pub fn admit(&self, now: Nanos) -> (bool, u32) {
        let mut dropped = 0;
        if now.0 >= self.until.load(Ordering::Relaxed) {
            self.until.store(now.0.saturating_add(INTERVAL), Ordering::Relaxed);
            dropped = self.seen.swap(0, Ordering::Relaxed).saturating_sub(BURST);
        }
        (self.seen.fetch_add(1, Ordering::Relaxed) < BURST, dropped)
    }
}

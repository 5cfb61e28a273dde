//! Time: nanoseconds since the start-up, counted by the TSC; and the wall clock.
//!
//! The TSC's rate is measured once against the best other clock there is. CPUs whose TSCs differ count as the boot CPU
//! does ([`tsc`]); `smp` finds out by how much as each starts.
#![allow(unsafe_code, reason = "reads the TSC")]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use spin::Once;
use tenon_core::options::Options;
use tenon_core::ratio::Ratio;
use tenon_core::time::TscScale;

mod reference;
mod rtc;
pub mod timer;

use reference::Reference;

use crate::cpu;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND: u64 = 1_000_000;

/// The TSC's value at time zero.
static START: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick, as [`Ratio::from_fixed`] takes it. Zero before that is known: there is no time then.
static TO_NANOSECONDS: AtomicU64 = AtomicU64::new(0);

struct Clock {
    hz: u64,
    from_nanoseconds: Ratio,
    /// Seconds since 1970 at time zero.
    wall: u64,
}

static CLOCK: Once<Clock> = Once::new();

/// Measures the TSC and reads the wall clock.
///
/// # Errors
/// Says what is missing: no clock to measure with, or a TSC that does not run.
pub fn init(options: &Options<'_>) -> Result<(), &'static str> {
    let reference = Reference::choose(options.clocksource);
    let hz = reference.measure(own_tsc).ok_or("the TSC does not run")?;
    let to_nanoseconds = TscScale::from_hz(hz).ok_or("the TSC's rate makes no sense")?.ratio();
    START.store(tsc(), Relaxed);
    TO_NANOSECONDS.store(to_nanoseconds.fixed(), Relaxed);
    let from_nanoseconds = Ratio::between(SECOND, hz).ok_or("the TSC runs too fast")?;
    CLOCK.call_once(|| Clock { hz, from_nanoseconds, wall: rtc::read().unwrap_or(0) });
    log::info!("TSC at {}.{:03} MHz, by {}", hz / 1_000_000, hz / 1000 % 1000, reference.name);
    Ok(())
}

fn clock() -> &'static Clock {
    match CLOCK.get() {
        Some(clock) => clock,
        None => panic!("time is asked for before it is set up"),
    }
}

/// The time stamp counter of the CPU that runs this.
#[inline]
pub fn own_tsc() -> u64 {
    // SAFETY: CR4.TSD does not matter in ring 0; reading it changes nothing.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The same, once everything before it is done.
pub fn own_tsc_in_order() -> u64 {
    // SAFETY: LFENCE changes nothing; later instructions wait for it.
    unsafe { core::arch::asm!("lfence", options(nostack, preserves_flags)) };
    own_tsc()
}

/// The boot CPU's time stamp counter, by that of the CPU that runs this.
#[inline]
pub fn tsc() -> u64 {
    own_tsc().wrapping_sub(cpu::this().tsc_skew.load(Relaxed))
}

/// Nanoseconds since the start-up. Never goes back.
#[inline]
pub fn now() -> u64 {
    from_tsc(tsc())
}

/// The time at which the TSC had (or will have) this value; zero for what was before the start-up.
#[inline]
pub fn from_tsc(tsc: u64) -> u64 {
    Ratio::from_fixed(TO_NANOSECONDS.load(Relaxed)).apply_small(tsc.saturating_sub(START.load(Relaxed)))
}

/// The value that this CPU's own TSC has at a time, or a few ticks later; now, if that is past. Reckoned from now: over a
/// long uptime the two factors, each rounded, would lead apart.
#[inline]
pub fn own_tsc_at(nanoseconds: u64) -> u64 {
    // More than what rounding takes away from less than a minute.
    const ROUNDING: u64 = 16;
    let ahead = clock().from_nanoseconds.apply(nanoseconds.saturating_sub(now()));
    own_tsc().saturating_add(ahead).saturating_add(ROUNDING)
}

/// The TSC's rate.
pub fn tsc_hz() -> u64 {
    clock().hz
}

/// Seconds since 1970 at time zero, by the CMOS clock; zero if it shows no time.
pub fn wall_clock_at_start() -> u64 {
    clock().wall
}

/// Whether [`now`] may be called.
pub fn is_up() -> bool {
    CLOCK.is_completed()
}

/// Spins for a while.
pub fn spin_for(nanoseconds: u64) {
    let end = now().saturating_add(nanoseconds);
    while now() < end {
        core::hint::spin_loop();
    }
}

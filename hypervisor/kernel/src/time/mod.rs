//! Time: nanoseconds since the start-up, counted by the TSC; and the wall clock.
//!
//! The TSC's rate is measured once against the best other clock there is. All CPUs' TSCs are taken to agree (which
//! `smp` checks as each starts).
#![allow(unsafe_code, reason = "reads the TSC")]

use spin::Once;
use tenon_core::options::Options;
use tenon_core::ratio::Ratio;
use tenon_core::time::TscScale;

mod reference;
mod rtc;
pub mod timer;

use reference::Reference;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND: u64 = 1_000_000;

struct Clock {
    /// The TSC's value at time zero.
    start: u64,
    hz: u64,
    to_nanoseconds: Ratio,
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
    let hz = reference.measure(rdtsc).ok_or("the TSC does not run")?;
    let to_nanoseconds = TscScale::from_hz(hz).ok_or("the TSC's rate makes no sense")?.ratio();
    let from_nanoseconds = Ratio::between(SECOND, hz).ok_or("the TSC runs too fast")?;
    CLOCK.call_once(|| Clock {
        start: rdtsc(),
        hz,
        to_nanoseconds,
        from_nanoseconds,
        wall: rtc::read().unwrap_or(0),
    });
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
pub fn rdtsc() -> u64 {
    // SAFETY: CR4.TSD does not matter in ring 0; reading it changes nothing.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds since the start-up. Never goes back on one CPU; across CPUs as far as their TSCs agree.
#[inline]
pub fn now() -> u64 {
    from_tsc(rdtsc())
}

/// The time at which the TSC had (or will have) this value; zero for what was before the start-up.
#[inline]
pub fn from_tsc(tsc: u64) -> u64 {
    let clock = clock();
    clock.to_nanoseconds.apply(tsc.saturating_sub(clock.start))
}

/// The TSC's value at a time, or a few ticks later; now, if that is past. Reckoned from now: over a long uptime the two
/// factors, each rounded, would lead apart.
#[inline]
pub fn to_tsc(nanoseconds: u64) -> u64 {
    // More than what rounding takes away from less than a minute.
    const ROUNDING: u64 = 16;
    let tsc = rdtsc();
    let ahead = clock().from_nanoseconds.apply(nanoseconds.saturating_sub(from_tsc(tsc)));
    tsc.saturating_add(ahead).saturating_add(ROUNDING)
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

//! The timer interrupt of the CPU that runs this.
//!
//! It may come early (a count that does not fit, rounding), never more than a tick late: whoever armed it looks at
//! the clock, and arms it again if the deadline has not passed.
#![allow(unsafe_code, reason = "writes the TSC deadline")]

use core::sync::atomic::Ordering::Relaxed;

use spin::Once;
use tenon_core::ratio::Ratio;
use x86_64::registers::model_specific::Msr;

use super::{from_tsc, now, own_tsc, own_tsc_at, tsc_hz};
use crate::apic::local;
use crate::cpu::{self, features};
use crate::watchdog;

const TSC_DEADLINE: u32 = 0x6e0;
/// The part of a second that the timer's rate is measured for.
const FRACTION: u64 = 100;

enum Kind {
    /// The timer compares with the TSC.
    Deadline,
    /// The timer counts at its own rate: this many of its ticks per nanosecond.
    Count(Ratio),
}

static KIND: Once<Kind> = Once::new();

/// Chooses how the timer is driven, on the boot CPU, and measures its rate.
pub fn init() {
    KIND.call_once(|| {
        if features().tsc_deadline {
            return Kind::Deadline;
        }
        local::timer_free_running();
        let (first, start) = (local::timer_count(), own_tsc());
        while own_tsc().wrapping_sub(start) < tsc_hz() / FRACTION {
            core::hint::spin_loop();
        }
        let (last, end) = (local::timer_count(), own_tsc());
        local::timer_one_shot(0);
        let elapsed = from_tsc(end).saturating_sub(from_tsc(start)).max(1);
        let hz = u64::from(first.wrapping_sub(last)) * super::SECOND / elapsed;
        log::info!("local APIC timer at {}.{:03} MHz", hz / 1_000_000, hz / 1000 % 1000);
        // A timer that cannot be measured is one that never fires: any rate will do.
        Kind::Count(Ratio::between(super::SECOND, hz.max(1)).unwrap_or(Ratio::ONE))
    });
    init_this_cpu();
}

/// Prepares the timer of a CPU.
pub fn init_this_cpu() {
    if let Some(Kind::Deadline) = KIND.get() {
        local::timer_use_tsc_deadline();
    }
}

/// Asks for [`irq::TIMER`](crate::irq::TIMER) at a time; one in the past asks for it at once. Replaces what was
/// asked for before.
pub fn arm(deadline: u64) {
    let deadline = deadline.min(watchdog::due());
    cpu::this().timer_set.store(deadline, Relaxed);
    if features().forgets_interrupts {
        cpu::this().timer_due.store(own_tsc_at(deadline), Relaxed);
    }
    match KIND.get() {
        // SAFETY: the timer is in TSC-deadline mode. Zero would disarm it.
        Some(Kind::Deadline) => unsafe { Msr::new(TSC_DEADLINE).write(own_tsc_at(deadline).max(1)) },
        Some(Kind::Count(rate)) => {
            let count = rate.apply(deadline.saturating_sub(now())).saturating_add(1);
            local::timer_one_shot(u32::try_from(count).unwrap_or(u32::MAX));
        }
        None => {}
    }
}

/// Asks for it by a time, too: what has been asked for stays if that is earlier.
pub fn arm_by(deadline: u64) {
    if !(now()..=deadline).contains(&cpu::this().timer_set.load(Relaxed)) {
        arm(deadline);
    }
}

/// The timer interrupt has been taken.
pub fn went_off() {
    cpu::this().timer_set.store(u64::MAX, Relaxed);
    cpu::this().timer_due.store(u64::MAX, Relaxed);
}

/// Whether it should have been taken by now, for a CPU that [may forget it](features).
#[inline]
pub fn is_overdue() -> bool {
    own_tsc() >= cpu::this().timer_due.load(Relaxed)
}

//! Comparing the TSCs of two CPUs, which then count alike: see [`Skew`].
//!
//! The boot CPU sends messages back and forth with each CPU that has just come up. Both come here soon; one that does not
//! is not waited for long.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tenon_core::time::Skew;

use crate::cpu::{self, Cpu};
use crate::time::{own_tsc, own_tsc_in_order, tsc_hz};

/// Messages, each of which is answered.
const ROUNDS: u64 = 1000;

/// The number of the message that the boot CPU has sent, and of the answer.
static ASKED: AtomicU64 = AtomicU64::new(0);
static ANSWERED: AtomicU64 = AtomicU64::new(0);
/// The other CPU's TSC, as it answered.
static ANSWER: AtomicU64 = AtomicU64::new(0);
/// Every comparison had a result.
static ALL_AGREE: AtomicBool = AtomicBool::new(true);

/// Whether the CPUs' TSCs, each less its skew, count alike.
pub fn all_agree() -> bool {
    ALL_AGREE.load(Ordering::Relaxed)
}

/// Waits for a number, for a second at most.
fn wait_for(place: &AtomicU64, number: u64) -> bool {
    let start = own_tsc();
    while place.load(Ordering::Acquire) != number {
        if own_tsc().wrapping_sub(start) > tsc_hz() {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// The boot CPU's part.
pub fn compare_as_boot_cpu(other: &Cpu) {
    let mut skew = Skew::UNKNOWN;
    let is_answered = (1..=ROUNDS).all(|round| {
        let before = own_tsc();
        ASKED.store(round, Ordering::Release);
        let is_answered = wait_for(&ANSWERED, round);
        skew.narrow(before, ANSWER.load(Ordering::Relaxed), own_tsc_in_order());
        is_answered
    });
    let value = skew.value().filter(|_| is_answered);
    match value {
        Some(0) => {}
        Some(skew) => {
            log::warn!("{}: its TSC is {skew} ticks ahead of the boot CPU's; that is made up for", other.id);
        }
        None => {
            ALL_AGREE.store(false, Ordering::Relaxed);
            log::error!("{}: its TSC does not go with the boot CPU's; time may step back", other.id);
        }
    }
    other.tsc_skew.store(value.unwrap_or(0) as u64, Ordering::Relaxed);
    ANSWERED.store(0, Ordering::Relaxed);
    ASKED.store(ROUNDS + 1, Ordering::Release);
}

/// The other CPU's part; returns when its skew is known.
pub fn compare_as_other_cpu() {
    for round in 1..=ROUNDS {
        if !wait_for(&ASKED, round) {
            break;
        }
        ANSWER.store(own_tsc_in_order(), Ordering::Relaxed);
        ANSWERED.store(round, Ordering::Release);
    }
    wait_for(&ASKED, ROUNDS + 1);
    log::debug!("{} is up", cpu::this().id);
}

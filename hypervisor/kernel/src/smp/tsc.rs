//! Comparing the TSCs of two CPUs: if one CPU ever sees a value below one that the other saw before, they differ.
//!
//! The other CPU comes here after it is up; the boot CPU right after it saw that. Locks: `LAST`, for the test alone.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tenon_core::ids::CpuId;
use tenon_core::sync::{Class, Lock};

use crate::time::{MILLISECOND, from_tsc, now, rdtsc};

const ROUNDS: u32 = 2000;
/// How long either waits for the other; a CPU that died meanwhile must not stop the boot.
const PATIENCE: u64 = 1_000 * MILLISECOND;

static LAST: Lock<u64> = Lock::new(Class::Ports, 0);
/// The greatest step back seen, in TSC ticks.
static WARP: AtomicU64 = AtomicU64::new(0);
/// CPUs that are in the test, and that are through.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);

fn meet(counter: &AtomicU32) {
    counter.fetch_add(1, Ordering::AcqRel);
    let end = now() + PATIENCE;
    while !counter.load(Ordering::Acquire).is_multiple_of(2) && now() < end {
        core::hint::spin_loop();
    }
}

fn race() {
    meet(&ARRIVED);
    for _ in 0..ROUNDS {
        let mut last = LAST.lock();
        let here = rdtsc();
        WARP.fetch_max(last.saturating_sub(here), Ordering::Relaxed);
        *last = here;
        drop(last);
        core::hint::spin_loop();
    }
    meet(&DONE);
}

/// The boot CPU's part; tells of a difference.
pub fn compare_as_boot_cpu(other: CpuId) {
    race();
    let warp = WARP.swap(0, Ordering::Relaxed);
    *LAST.lock() = 0;
    if warp != 0 {
        log::warn!(
            "{other}: its TSC differs from the boot CPU's by at least {warp} ticks; time may step back"
        );
    }
    log::debug!("{other} is up at {} us", from_tsc(rdtsc()) / 1000);
}

/// The other CPU's part.
pub fn compare_as_other_cpu() {
    race();
}

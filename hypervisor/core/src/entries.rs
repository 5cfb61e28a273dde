//! Which CPUs are in a guest, and waiting until they have been out.
//!
//! A change that a running guest must notice (a mapping withdrawn, a request posted) is made visible first; then
//! either the CPU has not entered yet and sees it on the way in, or it is inside and is interrupted.
//!
//! Each CPU has a sequence number: odd while it is in a guest. The owner makes it odd *before* it looks for requests,
//! with a full fence between, so [`Entries::exclude`] and the owner cannot miss each other.

use crate::ids::CpuId;
use crate::machine::{CpuMask, MAX_CPUS};
use crate::sync::atomic::{AtomicU64, Ordering, fence};
use crate::sync::spin_loop;

/// A sequence number per CPU.
#[derive(Debug)]
pub struct Entries([AtomicU64; MAX_CPUS]);

impl Default for Entries {
    fn default() -> Self {
        Self(core::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Entries {
    /// A CPU's word. There are no more CPUs than words.
    #[inline]
    fn of(&self, cpu: CpuId) -> &AtomicU64 {
        &self.0[cpu.index() % MAX_CPUS]
    }

    /// This CPU is about to enter a guest: whatever is posted from now on comes with an interrupt.
    #[inline]
    pub fn enter(&self, cpu: CpuId) {
        let seq = self.of(cpu);
        // Only this CPU writes the word. A sequentially consistent swap would not order the later loads.
        seq.store(seq.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// This CPU is out of the guest, or did not go in.
    #[inline]
    pub fn leave(&self, cpu: CpuId) {
        let seq = self.of(cpu);
        seq.store(seq.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// The number of a CPU: odd while it is in a guest.
    pub fn sequence(&self, cpu: CpuId) -> u64 {
        self.of(cpu).load(Ordering::SeqCst)
    }

    /// Waits until each CPU of the set has been outside since the call. `kick` interrupts one.
    ///
    /// May be called with locks held: a CPU in hypervisor code, even one that waits for such a lock, is outside.
    #[inline(never)]
    pub fn exclude(&self, cpus: CpuMask, mut kick: impl FnMut(CpuId)) {
        fence(Ordering::SeqCst);
        for cpu in cpus.iter() {
            let seq = self.of(cpu);
            let seen = seq.load(Ordering::SeqCst);
            if seen & 1 == 0 {
                continue;
            }
            kick(cpu);
            let mut spins = 0_u32;
            while seq.load(Ordering::Acquire) == seen {
                spin_loop();
                spins += 1;
                if spins.is_multiple_of(crate::sched::KICK_AGAIN) {
                    kick(cpu);
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_cpus_inside_are_kicked() {
        let entries = Entries::default();
        entries.enter(CpuId(1));
        let mut kicked = None;
        entries.exclude(CpuMask(0b11), |cpu| {
            kicked = Some(cpu);
            entries.leave(cpu);
        });
        assert_eq!(kicked, Some(CpuId(1)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    /// Once `exclude` returns, a guest that is inside has seen the change.
    #[test]
    fn nobody_runs_on_with_the_old_state() {
        loom::model(|| {
            let entries = Arc::new(Entries::default());
            let changed = Arc::new(AtomicBool::new(false));
            let stale = Arc::new(AtomicBool::new(false));
            let guest = {
                let (entries, changed, stale) = (entries.clone(), changed.clone(), stale.clone());
                thread::spawn(move || {
                    entries.enter(CpuId(0));
                    let saw = changed.load(Ordering::Relaxed);
                    stale.store(!saw, Ordering::SeqCst);
                    // The guest runs here.
                    stale.store(false, Ordering::SeqCst);
                    entries.leave(CpuId(0));
                })
            };
            changed.store(true, Ordering::Relaxed);
            entries.exclude(CpuMask(1), |_| ());
            assert!(!stale.load(Ordering::SeqCst), "a guest runs with the withdrawn state");
            guest.join().unwrap();
        });
    }
}

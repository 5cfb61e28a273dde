//! The mailbox through which other CPUs post interrupts to a vCPU.
//!
//! Lock-free: any CPU posts at any time, only the vCPU's owner drains. Invariant: whoever sees `post` return
//! true has to make the owner look (kick it or wake it); everybody else may rely on that poster.
//!
//! Order: a poster sets the vector's bit, then the flag; the owner clears the flag, then takes the bits. So a
//! bit set after the flag was cleared raises the flag again, and none is left behind without it.

use super::vectors::VectorSet;
use crate::acpi::Trigger;
use crate::ids::Vector;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Interrupts on their way to one local APIC.
#[derive(Debug, Default)]
pub struct PostedInterrupts {
    requested: [AtomicU64; 4],
    /// Vectors whose latest poster said "level"; read only together with a bit in `requested`.
    level: [AtomicU64; 4],
    pending: AtomicBool,
}

/// What was in the mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Vectors requested.
    pub vectors: VectorSet,
    /// Those of them that are level-triggered.
    pub level: VectorSet,
}

impl PostedInterrupts {
    /// Posts `vector`. True means that the owner may not know yet and has to be told.
    #[must_use = "the owner has to be kicked when this is true"]
    pub fn post(&self, vector: Vector, trigger: Trigger) -> bool {
        let (word, bit) = ((vector.0 >> 6) as usize, 1u64 << (vector.0 & 63));
        match trigger {
            Trigger::Level => self.level[word].fetch_or(bit, Ordering::Relaxed),
            Trigger::Edge => self.level[word].fetch_and(!bit, Ordering::Relaxed),
        };
        self.requested[word].fetch_or(bit, Ordering::Release);
        !self.pending.swap(true, Ordering::AcqRel)
    }

    /// Whether something waits: one load, for the path into the guest.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Takes everything out. Only the vCPU's owner calls this.
    pub fn drain(&self) -> Option<Drained> {
        if !self.pending.swap(false, Ordering::AcqRel) {
            return None;
        }
        let vectors: [u64; 4] = core::array::from_fn(|word| self.requested[word].swap(0, Ordering::Acquire));
        let level = core::array::from_fn(|word| self.level[word].load(Ordering::Relaxed) & vectors[word]);
        Some(Drained { vectors: VectorSet::from_words(vectors), level: VectorSet::from_words(level) })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_poster_kicks() {
        let mailbox = PostedInterrupts::default();
        assert!(!mailbox.is_pending());
        assert_eq!(mailbox.drain(), None);
        assert!(mailbox.post(Vector(0x30), Trigger::Edge));
        assert!(!mailbox.post(Vector(0xf1), Trigger::Level));
        let drained = mailbox.drain().unwrap();
        assert!(drained.vectors.contains(Vector(0x30)) && drained.vectors.contains(Vector(0xf1)));
        assert!(!drained.level.contains(Vector(0x30)) && drained.level.contains(Vector(0xf1)));
        assert!(mailbox.post(Vector(0x30), Trigger::Edge));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two posters and the owner: nothing is lost, and nothing is left without the flag.
    #[test]
    fn nothing_is_lost() {
        loom::model(|| {
            let mailbox = Arc::new(PostedInterrupts::default());
            let posters = [Vector(0x21), Vector(0x22)].map(|vector| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.post(vector, Trigger::Edge))
            });
            let mut seen = VectorSet::default();
            if let Some(drained) = mailbox.drain() {
                seen.union(&drained.vectors);
            }
            let mut kicks = 0;
            for poster in posters {
                kicks += u32::from(poster.join().unwrap());
            }
            assert!(kicks > 0);
            if let Some(drained) = mailbox.drain() {
                seen.union(&drained.vectors);
            }
            assert!(seen.contains(Vector(0x21)) && seen.contains(Vector(0x22)));
        });
    }
}

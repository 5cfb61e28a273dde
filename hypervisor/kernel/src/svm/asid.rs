//! Address space ids of one CPU.
//!
//! A vCPU takes a fresh id whenever its translations must be forgotten; only when the CPU has given out all of them
//! is its whole TLB flushed, and a new generation begins. So no flush is on the common path.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::vmcb::TlbControl;

/// A CPU's generations have its number in the bits from here: what a vCPU remembers is stale on every other CPU.
const CPU_SHIFT: u32 = 48;

/// The ids of one CPU, which alone uses them. The atomics are for the type's sake.
#[derive(Debug)]
pub struct Asids {
    generation: AtomicU64,
    next: AtomicU32,
    /// One past the highest id that the CPU has.
    end: u32,
}

impl Asids {
    /// What a vCPU remembers that has no id: no generation.
    pub const NONE: u64 = 0;

    /// Id 0 is the host's.
    pub const fn new(cpu: u32, count: u32) -> Self {
        let generation = AtomicU64::new((cpu as u64) << CPU_SHIFT | 1);
        Self { generation, next: AtomicU32::new(1), end: count }
    }

    /// The generation whose ids may be used on this CPU.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// An id under which the TLB holds nothing once the entry has flushed what it is told to. It is of the generation
    /// that is the current one afterwards.
    pub fn fresh(&self) -> (u32, TlbControl) {
        let mut flush = TlbControl::KEEP;
        let mut id = self.next.load(Relaxed);
        if id >= self.end {
            self.generation.store(self.generation() + 1, Relaxed);
            id = 1;
            flush = TlbControl::FLUSH_ALL;
        }
        self.next.store(id + 1, Relaxed);
        (id, flush)
    }
}

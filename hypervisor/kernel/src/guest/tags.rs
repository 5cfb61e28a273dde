//! TLB tags of one CPU: AMD's address space ids, Intel's virtual processor ids.
//!
//! A vCPU takes a fresh tag whenever its translations must be forgotten; only when the CPU has given out all of them
//! is its whole TLB flushed, and a new generation begins. So no flush is on the common path.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A CPU's generations have its number in the bits from here: what a vCPU remembers is stale on every other CPU.
const CPU_SHIFT: u32 = 48;

/// The tags of one CPU, which alone uses them. The atomics are for the type's sake.
#[derive(Debug)]
pub struct Tags {
    generation: AtomicU64,
    next: AtomicU32,
    /// One past the highest tag that the CPU has.
    end: u32,
}

impl Tags {
    /// What a vCPU remembers that has no tag: no generation.
    pub const NONE: u64 = 0;

    /// Tag 0 is the host's.
    pub const fn new(cpu: u32, count: u32) -> Self {
        let generation = AtomicU64::new((cpu as u64) << CPU_SHIFT | 1);
        Self { generation, next: AtomicU32::new(1), end: count }
    }

    /// The generation whose tags may be used on this CPU.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// A tag under which the TLB holds nothing, once the CPU has flushed all of them if told to (`true`). It is of the
    /// generation that is the current one afterwards.
    pub fn fresh(&self) -> (u32, bool) {
        let mut tag = self.next.load(Relaxed);
        let flush = tag >= self.end;
        if flush {
            self.generation.store(self.generation() + 1, Relaxed);
            tag = 1;
        }
        self.next.store(tag + 1, Relaxed);
        (tag, flush)
    }
}

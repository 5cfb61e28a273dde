//! Address space ids of one CPU.
//!
//! A vCPU takes a fresh id whenever its translations must be forgotten; only when the CPU has given out all of them
//! is its whole TLB flushed, and a new generation begins. So no flush is on the common path.

use super::vmcb::TlbControl;

/// An id as a vCPU remembers it. Stale on another CPU or in another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asid {
    pub cpu: u32,
    pub generation: u64,
    pub id: u32,
}

/// The ids of one CPU.
#[derive(Debug)]
pub struct Asids {
    cpu: u32,
    generation: u64,
    next: u32,
    /// One past the highest id that the CPU has.
    end: u32,
}

impl Asids {
    /// Id 0 is the host's.
    pub const fn new(cpu: u32, count: u32) -> Self {
        Self { cpu, generation: 1, next: 1, end: count }
    }

    /// Whether the id may still be used on this CPU.
    pub fn is_current(&self, asid: &Asid) -> bool {
        asid.cpu == self.cpu && asid.generation == self.generation
    }

    /// An id under which the TLB holds nothing once the entry has flushed what it is told to.
    pub fn fresh(&mut self) -> (Asid, TlbControl) {
        let mut flush = TlbControl::KEEP;
        if self.next >= self.end {
            self.generation += 1;
            self.next = 1;
            flush = TlbControl::FLUSH_ALL;
        }
        let asid = Asid { cpu: self.cpu, generation: self.generation, id: self.next };
        self.next += 1;
        (asid, flush)
    }
}

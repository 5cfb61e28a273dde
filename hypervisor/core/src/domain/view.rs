//! Guest-physical memory while its mappings hold still.
//!
//! A view holds the p2m's read lock: what it finds mapped, and so the frames behind it, cannot go away.

use super::MemoryFault;
use crate::frame::{Gaddr, PAGE_SIZE};
use crate::frames::{BorrowedFrame, FrameRef};
use crate::machine::Machine;
use crate::p2m::{Entry, P2m, PageType};
use crate::page::GuestPage;
use crate::sync::RwLockReadGuard;

type Guard<'a, M> = RwLockReadGuard<'a, P2m<<M as Machine>::Format, <M as Machine>::Tables>>;

/// Guest-physical memory, its mappings held still.
pub struct MemoryView<'a, M: Machine> {
    machine: M,
    p2m: Guard<'a, M>,
}

impl<'a, M: Machine> MemoryView<'a, M> {
    #[inline]
    pub(super) fn new(machine: M, p2m: Guard<'a, M>) -> Self {
        Self { machine, p2m }
    }

    #[inline]
    pub(super) fn machine(&self) -> M {
        self.machine
    }

    /// What maps `at`, if that is memory.
    ///
    /// # Errors
    /// Not memory; or not writable, if `write` is wanted.
    #[inline]
    pub(super) fn look_up(&self, at: Gaddr, write: bool) -> Result<Entry, MemoryFault> {
        match self.p2m.lookup(at.frame()) {
            Some(Entry { kind: PageType::MmioDirect, .. }) | None => Err(MemoryFault::NotMemory(at)),
            Some(entry) if write && !entry.access.write => Err(MemoryFault::ReadOnly(at)),
            Some(entry) => Ok(entry),
        }
    }

    /// Runs `f` on the page that holds `at`.
    ///
    /// # Errors
    /// As [`look_up`](Self::look_up).
    #[inline]
    pub(super) fn with_page<R>(
        &self,
        at: Gaddr,
        write: bool,
        f: impl FnOnce(&FrameRef<M>) -> R,
    ) -> Result<R, MemoryFault> {
        let entry = self.look_up(at, write)?;
        Ok(f(&BorrowedFrame::new(self.machine, entry.mfn)))
    }

    /// Copies guest-physical memory out.
    ///
    /// # Errors
    /// Part of it is not memory; `into` may be partly filled then.
    #[inline]
    pub fn read(&self, at: Gaddr, into: &mut [u8]) -> Result<(), MemoryFault> {
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let len = rest.len().min(PAGE_SIZE - at.offset());
            let (piece, next) = rest.split_at_mut(len);
            self.with_page(at, false, |page| page.read(at.offset(), piece))?;
            rest = next;
            at = at.checked_add(len as u64).ok_or(MemoryFault::NotMemory(at))?;
        }
        Ok(())
    }

    /// Copies into guest-physical memory.
    ///
    /// # Errors
    /// Part of it is not writable memory; what comes before that may have been written.
    #[inline]
    pub fn write(&self, at: Gaddr, from: &[u8]) -> Result<(), MemoryFault> {
        let (mut at, mut rest) = (at, from);
        while !rest.is_empty() {
            let len = rest.len().min(PAGE_SIZE - at.offset());
            let (piece, next) = rest.split_at(len);
            self.with_page(at, true, |page| page.write(at.offset(), piece))?;
            rest = next;
            at = at.checked_add(len as u64).ok_or(MemoryFault::NotMemory(at))?;
        }
        Ok(())
    }
}

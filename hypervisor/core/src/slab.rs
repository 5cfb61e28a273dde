//! Numbered slots with a limit: what a guest holds as handles, looked up and given back in constant time.
//!
//! Slots come in chunks as they are needed and stay; growing never moves one. A slot is reserved before the thing it
//! will hold exists, so that what comes after the reservation cannot fail for want of a slot.

use alloc::vec::Vec;

use crate::fallible::{self, NoMemory};

/// Slots in a chunk.
const CHUNK: u32 = 64;

#[derive(Debug)]
enum Slot<T> {
    /// On the free list, followed by that one.
    Free(Option<u32>),
    Reserved,
    Used(T),
}

/// A table of at most `limit` things.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    free: Option<u32>,
    /// The most things that it holds.
    pub limit: u32,
}

impl<T> Slab<T> {
    /// An empty table.
    pub const fn new(limit: u32) -> Self {
        Self { chunks: Vec::new(), free: None, limit }
    }

    /// One past the highest slot number ever given.
    pub fn end(&self) -> u32 {
        (self.chunks.len() as u32 * CHUNK).min(self.limit)
    }

    /// Takes a free slot, to be [filled](Self::fill) or [given up](Self::cancel).
    ///
    /// `None` if all that the limit allows are taken.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn reserve(&mut self) -> Result<Option<u32>, NoMemory> {
        if self.free.is_none() {
            self.grow()?;
        }
        let Some(at) = self.free else { return Ok(None) };
        let Some(slot @ &mut Slot::Free(next)) = self.slot_mut(at) else { return Ok(None) };
        *slot = Slot::Reserved;
        self.free = next;
        Ok(Some(at))
    }

    /// Puts the thing into a reserved slot. Only for whoever reserved it.
    pub fn fill(&mut self, at: u32, value: T) {
        let slot = self.slot_mut(at);
        debug_assert!(matches!(slot, Some(Slot::Reserved)), "slot {at} was not reserved");
        if let Some(slot @ Slot::Reserved) = slot {
            *slot = Slot::Used(value);
        }
    }

    /// Gives up a reserved slot.
    pub fn cancel(&mut self, at: u32) {
        if matches!(self.slot_mut(at), Some(Slot::Reserved)) {
            self.release(at);
        }
    }

    /// The thing in a slot.
    pub fn get(&self, at: u32) -> Option<&T> {
        match self.chunks.get((at / CHUNK) as usize)?.get((at % CHUNK) as usize)? {
            Slot::Used(value) => Some(value),
            _ => None,
        }
    }

    /// The thing in a slot, to change.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        match self.slot_mut(at)? {
            Slot::Used(value) => Some(value),
            _ => None,
        }
    }

    /// Takes the thing out and frees its slot.
    pub fn take(&mut self, at: u32) -> Option<T> {
        self.get(at)?;
        match self.release(at)? {
            Slot::Used(value) => Some(value),
            _ => None,
        }
    }

    /// Takes out the first thing at or after `cursor`, looking at no more than `budget` slots; counts both on.
    /// Nothing is left once the cursor reaches [`end`](Self::end).
    pub fn take_next(&mut self, cursor: &mut u32, budget: &mut u32) -> Option<T> {
        while *cursor < self.end() && *budget > 0 {
            let at = *cursor;
            *cursor += 1;
            *budget -= 1;
            if let Some(value) = self.take(at) {
                return Some(value);
            }
        }
        None
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot<T>> {
        self.chunks.get_mut((at / CHUNK) as usize)?.get_mut((at % CHUNK) as usize)
    }

    fn release(&mut self, at: u32) -> Option<Slot<T>> {
        let next = self.free;
        let old = core::mem::replace(self.slot_mut(at)?, Slot::Free(next));
        self.free = Some(at);
        Some(old)
    }

    fn grow(&mut self) -> Result<(), NoMemory> {
        let start = self.chunks.len() as u32 * CHUNK;
        let count = self.limit.saturating_sub(start).min(CHUNK);
        if count == 0 {
            return Ok(());
        }
        let mut next = start;
        let chunk = fallible::filled(count as usize, || {
            next += 1;
            Slot::Free((next < start + count).then_some(next))
        })?;
        fallible::push(&mut self.chunks, chunk)?;
        self.free = Some(start);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<T> Slab<T> {
        /// Slots that are reserved or used.
        pub(crate) fn taken(&self) -> u32 {
            self.chunks.iter().flatten().filter(|slot| !matches!(slot, Slot::Free(_))).count() as u32
        }
    }

    #[test]
    fn slots_are_given_up_to_the_limit_and_again() {
        let mut slab = Slab::new(70);
        for n in 0..70 {
            let at = slab.reserve().unwrap().unwrap();
            assert_eq!(at, n);
            slab.fill(at, n * 2);
        }
        assert_eq!(slab.reserve(), Ok(None));
        assert_eq!(slab.take(66), Some(132));
        assert_eq!(slab.take(66), None);
        let at = slab.reserve().unwrap().unwrap();
        assert_eq!(at, 66);
        assert_eq!(slab.get(at), None, "reserved is not there yet");
        assert_eq!(slab.take(at), None);
        slab.cancel(at);
        assert_eq!(slab.taken(), 69);
        assert_eq!((slab.get(70), slab.get(u32::MAX)), (None, None));
    }

    #[test]
    fn emptying_is_bounded_by_the_budget() {
        let mut slab = Slab::new(1000);
        for _ in 0..130 {
            let at = slab.reserve().unwrap().unwrap();
            slab.fill(at, at);
        }
        for at in 0..100 {
            slab.take(at);
        }
        let (mut cursor, mut budget) = (0, 50);
        assert_eq!(slab.take_next(&mut cursor, &mut budget), None);
        assert_eq!((cursor, budget), (50, 0));
        budget = 1000;
        let mut got = 0;
        while slab.take_next(&mut cursor, &mut budget).is_some() {
            got += 1;
        }
        assert_eq!((got, slab.taken(), cursor), (30, 0, slab.end()));
    }

    #[test]
    fn no_heap_no_slot() {
        let mut slab = Slab::<u8>::new(10);
        for left in 0..2 {
            fallible::fail_after(Some(left));
            assert_eq!(slab.reserve(), Err(NoMemory));
        }
        fallible::fail_after(None);
        assert_eq!(slab.reserve(), Ok(Some(0)));
    }
}

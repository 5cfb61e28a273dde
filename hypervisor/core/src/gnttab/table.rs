//! A domain's grant table: its frames, its size and version.

use alloc::vec::Vec;

use super::acquire::Active;
use super::entry::{self, Entry};
use super::{GrantError, GrantRef};
use crate::fallible;
use crate::frame::{Gfn, PAGE_SIZE};
use crate::ids::DomId;
use crate::page::GuestPage;
use crate::slab::Slab;

/// Entries in a frame of the table.
pub const ENTRIES_PER_FRAME: u32 = (PAGE_SIZE / entry::SIZE) as u32;

/// The version that every table has (`GNTTABOP_get_version`).
pub const VERSION: u32 = 1;

/// A frame of the table.
#[derive(Debug)]
struct Shared<P> {
    page: P,
    /// Where the guest has mapped it.
    gfn: Option<Gfn>,
    /// For each entry its slot in [`GrantTable::active`], if it is in use.
    slots: Vec<Option<u32>>,
}

/// The granting side of a domain.
#[derive(Debug)]
pub struct GrantTable<P, F> {
    pub(super) dom: DomId,
    frames: Vec<Shared<P>>,
    max_frames: u32,
    pub(super) active: Slab<Active<F>>,
    pub(super) dying: bool,
}

/// A table's size (`GNTTABOP_query_size`), in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Now.
    pub frames: u32,
    /// At most.
    pub max_frames: u32,
}

impl<P: GuestPage, F: Clone> GrantTable<P, F> {
    /// A table without frames, which may grow to `max_frames`.
    pub fn new(dom: DomId, max_frames: u32) -> Self {
        let max_active = max_frames.saturating_mul(ENTRIES_PER_FRAME);
        Self { dom, frames: Vec::new(), max_frames, active: Slab::new(max_active), dying: false }
    }

    /// The size now and the limit.
    pub fn size(&self) -> Size {
        Size { frames: self.frames.len() as u32, max_frames: self.max_frames }
    }

    /// How many frames the table lacks to have `frames` of them (`GNTTABOP_setup_table`, or a frame asked for by index).
    /// The caller gives them one by one to [`grow`](Self::grow).
    ///
    /// # Errors
    /// [`GrantError::TableFull`] if the limit is below that, [`GrantError::NoDomain`] if the domain is dying.
    pub fn missing(&self, frames: u32) -> Result<u32, GrantError> {
        if self.dying {
            return Err(GrantError::NoDomain(self.dom));
        }
        if frames > self.max_frames {
            return Err(GrantError::TableFull { max_frames: self.max_frames });
        }
        Ok(frames.saturating_sub(self.frames.len() as u32))
    }

    /// Adds a zeroed frame at the table's end.
    ///
    /// # Errors
    /// [`GrantError::TableFull`], [`GrantError::NoDomain`], [`GrantError::NoMemory`].
    pub fn grow(&mut self, page: P) -> Result<(), GrantError> {
        self.missing(self.frames.len() as u32 + 1)?;
        let slots = fallible::filled(ENTRIES_PER_FRAME as usize, || None)?;
        fallible::push(&mut self.frames, Shared { page, gfn: None, slots })?;
        Ok(())
    }

    /// A frame of the table.
    pub fn frame(&self, index: u32) -> Option<&P> {
        Some(&self.frames.get(index as usize)?.page)
    }

    /// Where the guest has mapped a frame of the table.
    pub fn gfn(&self, index: u32) -> Option<Gfn> {
        self.frames.get(index as usize)?.gfn
    }

    /// Notes where the guest maps a frame of the table. Returns the old place, which the caller unmaps.
    pub fn set_gfn(&mut self, index: u32, gfn: Option<Gfn>) -> Option<Gfn> {
        core::mem::replace(&mut self.frames.get_mut(index as usize)?.gfn, gfn)
    }

    /// Chooses the table's version (`GNTTABOP_set_version`): there is only 1.
    ///
    /// # Errors
    /// [`GrantError::NoVersion2`], [`GrantError::BadVersion`].
    pub fn set_version(&self, version: u32) -> Result<(), GrantError> {
        match version {
            VERSION => Ok(()),
            2 => Err(GrantError::NoVersion2),
            _ => Err(GrantError::BadVersion(version)),
        }
    }

    /// Exchanges two entries that nobody uses (`GNTTABOP_swap_grant_ref`).
    ///
    /// # Errors
    /// [`GrantError::BadRef`], [`GrantError::InUse`].
    pub fn swap(&mut self, a: GrantRef, b: GrantRef) -> Result<(), GrantError> {
        for gref in [a, b] {
            if self.slot(gref)?.is_some() {
                return Err(GrantError::InUse(gref));
            }
        }
        let (a, b) = (self.entry(a)?, self.entry(b)?);
        let (old_a, old_b) = (a.load(), b.load());
        a.store(old_b);
        b.store(old_a);
        Ok(())
    }

    /// From now on nothing can be acquired. What is in use stays until its users release it or
    /// [`destroy_some`](Self::destroy_some) lets go of it.
    pub fn begin_destroy(&mut self) {
        self.dying = true;
    }

    /// Lets go of pages and frames, `budget` at a time, counting `cursor` on from 0; says whether nothing is left.
    /// Others may still use granted pages: their [`Pinned`](super::Pinned)s keep them.
    pub fn destroy_some(&mut self, cursor: &mut u32, budget: u32) -> bool {
        self.dying = true;
        let mut left = budget;
        while self.active.take_next(cursor, &mut left).is_some() {}
        if *cursor < self.active.end() {
            return false;
        }
        let keep = self.frames.len().saturating_sub(left as usize);
        self.frames.truncate(keep);
        self.frames.is_empty()
    }

    /// The frame of the table with a reference's entry, and the entry's index in it.
    fn place(&self, gref: GrantRef) -> Result<(&Shared<P>, usize), GrantError> {
        let end = self.frames.len() as u32 * ENTRIES_PER_FRAME;
        let frame = self.frames.get((gref.0 / ENTRIES_PER_FRAME) as usize);
        Ok((frame.ok_or(GrantError::BadRef { gref, end })?, (gref.0 % ENTRIES_PER_FRAME) as usize))
    }

    pub(super) fn entry(&self, gref: GrantRef) -> Result<Entry<'_, P>, GrantError> {
        let (frame, at) = self.place(gref)?;
        Ok(Entry { page: &frame.page, offset: at * entry::SIZE, gref })
    }

    /// Where the reference's use is counted, if it is in use.
    pub(super) fn slot(&self, gref: GrantRef) -> Result<Option<u32>, GrantError> {
        let (frame, at) = self.place(gref)?;
        Ok(frame.slots.get(at).copied().flatten())
    }

    pub(super) fn set_slot(&mut self, gref: GrantRef, slot: Option<u32>) {
        let (frame, at) = (gref.0 / ENTRIES_PER_FRAME, gref.0 % ENTRIES_PER_FRAME);
        let frame = self.frames.get_mut(frame as usize);
        if let Some(place) = frame.and_then(|frame| frame.slots.get_mut(at as usize)) {
            *place = slot;
        }
    }
}

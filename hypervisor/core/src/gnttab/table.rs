//! A domain's grant table: its frames, its size and version.
//!
//! A table of version 2 has frames of status words beside those of entries, as many as it needs for its entries.

use alloc::vec::Vec;

use hypercall_abi::grant_table as abi;

use super::acquire::Active;
use super::entry::{Entry, Version};
use super::{GrantError, GrantRef};
use crate::fallible;
use crate::frame::{Gfn, PAGE_SIZE};
use crate::ids::DomId;
use crate::page::GuestPage;
use crate::slab::Slab;

/// The entries that the tools fill in for a new guest (`GNTTAB_NR_RESERVED_ENTRIES`). They survive a change of version.
const RESERVED: usize = abi::NR_RESERVED_ENTRIES as usize;
/// Status words in a frame of them.
const STATUS_PER_FRAME: u32 = (PAGE_SIZE / size_of::<u16>()) as u32;
/// Frames of entries that have their status words in one frame.
const FRAMES_PER_STATUS: u32 = STATUS_PER_FRAME / Version::Two.entries_per_frame();
/// The most frames of entries that are emptied by one call, to change the version.
const MAX_EMPTIED: u32 = 512;

/// Which frames of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Those with the entries.
    Entries,
    /// Those with version 2's status words.
    Status,
}

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
    status: Vec<Shared<P>>,
    max_frames: u32,
    version: Version,
    max_version: Version,
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
    /// A table of version 1 without frames, which may grow to `max_frames` and change to `max_version`.
    pub fn new(dom: DomId, max_frames: u32, max_version: Version) -> Self {
        let max_active = max_frames.saturating_mul(Version::One.entries_per_frame());
        Self {
            dom,
            frames: Vec::new(),
            status: Vec::new(),
            max_frames,
            version: Version::One,
            max_version,
            active: Slab::new(max_active),
            dying: false,
        }
    }

    /// The size now and the limit.
    pub fn size(&self) -> Size {
        Size { frames: self.frames.len() as u32, max_frames: self.max_frames }
    }

    /// The version now.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The most frames of that content that the table may have.
    ///
    /// # Errors
    /// [`GrantError::NoStatus`].
    pub fn limit(&self, content: Content) -> Result<u32, GrantError> {
        match (content, self.version) {
            (Content::Entries, _) => Ok(self.max_frames),
            (Content::Status, Version::Two) => Ok(self.max_frames.div_ceil(FRAMES_PER_STATUS)),
            (Content::Status, Version::One) => Err(GrantError::NoStatus),
        }
    }

    /// Makes the table at least so large that it has `frames` of that content (`GNTTABOP_setup_table`, or a frame asked
    /// for by index), with zeroed pages from `page`.
    ///
    /// # Errors
    /// [`GrantError::TableFull`], [`GrantError::NoDomain`], [`GrantError::NoMemory`], [`GrantError::NoStatus`]; the table
    /// may have grown in part.
    pub fn grow(
        &mut self,
        content: Content,
        frames: u32,
        mut page: impl FnMut() -> Result<P, GrantError>,
    ) -> Result<(), GrantError> {
        if self.dying {
            return Err(GrantError::NoDomain(self.dom));
        }
        if frames > self.limit(content)? {
            return Err(GrantError::TableFull { max_frames: self.max_frames });
        }
        let frames = match content {
            Content::Entries => frames,
            Content::Status => (frames.saturating_sub(1) * FRAMES_PER_STATUS + 1).min(self.max_frames),
        };
        if self.version == Version::Two {
            self.grow_status(frames, &mut page)?;
        }
        while (self.frames.len() as u32) < frames {
            let slots = fallible::filled(Version::One.entries_per_frame() as usize, || None)?;
            fallible::push(&mut self.frames, Shared { page: page()?, gfn: None, slots })?;
        }
        Ok(())
    }

    /// Adds what status words so many frames of entries lack.
    fn grow_status(
        &mut self,
        frames: u32,
        page: &mut impl FnMut() -> Result<P, GrantError>,
    ) -> Result<(), GrantError> {
        while (self.status.len() as u32) < frames.div_ceil(FRAMES_PER_STATUS) {
            fallible::push(&mut self.status, Shared { page: page()?, gfn: None, slots: Vec::new() })?;
        }
        Ok(())
    }

    fn shared(&self, content: Content) -> &[Shared<P>] {
        match content {
            Content::Entries => &self.frames,
            Content::Status => &self.status,
        }
    }

    /// A frame of the table.
    pub fn frame(&self, content: Content, index: u32) -> Option<&P> {
        Some(&self.shared(content).get(index as usize)?.page)
    }

    /// Where the guest has mapped a frame of the table.
    pub fn gfn(&self, content: Content, index: u32) -> Option<Gfn> {
        self.shared(content).get(index as usize)?.gfn
    }

    /// Notes where the guest maps a frame of the table. Returns the old place, which the caller unmaps.
    pub fn set_gfn(&mut self, content: Content, index: u32, gfn: Option<Gfn>) -> Option<Gfn> {
        let frames = match content {
            Content::Entries => &mut self.frames,
            Content::Status => &mut self.status,
        };
        core::mem::replace(&mut frames.get_mut(index as usize)?.gfn, gfn)
    }

    /// Chooses the table's version (`GNTTABOP_set_version`), with zeroed pages from `page` for status words. The entries
    /// are empty then, but for the reserved ones that grant whole pages: the tools may use them all the time.
    ///
    /// # Errors
    /// [`GrantError::BadVersion`], [`GrantError::NoVersion2`], [`GrantError::NoDomain`], [`GrantError::NoMemory`],
    /// [`GrantError::EntriesInUse`], [`GrantError::TooLarge`].
    pub fn set_version(
        &mut self,
        version: u32,
        mut page: impl FnMut() -> Result<P, GrantError>,
    ) -> Result<(), GrantError> {
        let version = match version {
            1 => Version::One,
            2 => Version::Two,
            _ => return Err(GrantError::BadVersion(version)),
        };
        let frames = self.frames.len() as u32;
        if version == self.version {
            return Ok(());
        } else if version > self.max_version {
            return Err(GrantError::NoVersion2);
        } else if self.dying {
            return Err(GrantError::NoDomain(self.dom));
        } else if frames > MAX_EMPTIED {
            return Err(GrantError::TooLarge { frames, max: MAX_EMPTIED });
        }
        let count = (0..self.active.end()).filter(|slot| self.active.get(*slot).is_some()).count();
        let slots = self.frames.first().map_or(&[][..], |frame| &frame.slots);
        let reserved = slots.iter().take(RESERVED).flatten().count();
        if count > reserved {
            return Err(GrantError::EntriesInUse { count });
        }
        if version == Version::Two {
            self.grow_status(frames, &mut page)?;
        }
        let kept: [_; RESERVED] =
            core::array::from_fn(|gref| self.entry(GrantRef(gref as u32)).ok()?.whole_page());
        self.frames.iter().chain(&self.status).for_each(|frame| frame.page.write(0, &[0; PAGE_SIZE]));
        self.version = version;
        for (gref, kept) in kept.into_iter().enumerate() {
            if let (Ok(entry), Some(kept)) = (self.entry(GrantRef(gref as u32)), kept) {
                entry.set_whole_page(kept);
            }
        }
        Ok(())
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
        self.entry(a)?.swap(&self.entry(b)?);
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
        self.status.truncate(keep);
        self.frames.is_empty()
    }

    /// In which frame of the table a reference's entry is, and where in it.
    fn place(&self, gref: GrantRef) -> (usize, usize) {
        let per_frame = match self.version {
            Version::One => const { Version::One.entries_per_frame() },
            Version::Two => const { Version::Two.entries_per_frame() },
        };
        ((gref.0 / per_frame) as usize, (gref.0 % per_frame) as usize)
    }

    fn bad_ref(&self, gref: GrantRef) -> GrantError {
        GrantError::BadRef { gref, end: self.frames.len() as u32 * self.version.entries_per_frame() }
    }

    pub(super) fn entry(&self, gref: GrantRef) -> Result<Entry<'_, P>, GrantError> {
        let (frame, at) = self.place(gref);
        let page = &self.frames.get(frame).ok_or_else(|| self.bad_ref(gref))?.page;
        let status = match self.version {
            Version::One => None,
            Version::Two => {
                let (frame, at) = (gref.0 / STATUS_PER_FRAME, (gref.0 % STATUS_PER_FRAME) as usize);
                let frame = self.frame(Content::Status, frame).ok_or_else(|| self.bad_ref(gref))?;
                Some((frame, at * size_of::<u16>()))
            }
        };
        Ok(Entry { page, offset: at * self.version.entry_size(), gref, status })
    }

    /// Where the reference's use is counted, if it is in use.
    pub(super) fn slot(&self, gref: GrantRef) -> Result<Option<u32>, GrantError> {
        let (frame, at) = self.place(gref);
        let frame = self.frames.get(frame).ok_or_else(|| self.bad_ref(gref))?;
        Ok(frame.slots.get(at).copied().flatten())
    }

    pub(super) fn set_slot(&mut self, gref: GrantRef, slot: Option<u32>) {
        let (frame, at) = self.place(gref);
        if let Some(place) = self.frames.get_mut(frame).and_then(|frame| frame.slots.get_mut(at)) {
            *place = slot;
        }
    }
}

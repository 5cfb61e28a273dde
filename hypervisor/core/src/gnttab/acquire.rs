//! Putting a grant to use, and ending that.

use super::entry::{Access, Part, Via, Wanted};
use super::{GrantError, GrantRef, GrantTable};
use crate::frame::Gfn;
use crate::ids::DomId;
use crate::page::GuestPage;

/// A reference in use: by whom, how often, and the page.
#[derive(Debug)]
pub(super) struct Active<F> {
    by: DomId,
    frame: F,
    part: Part,
    /// The page is that of another grant, which every user has in use as well.
    via: Option<Via>,
    /// Uses that only read.
    readers: u32,
    /// Uses that write too.
    writers: u32,
}

impl<F> Active<F> {
    fn count(&mut self, access: Access) -> &mut u32 {
        match access {
            Access::Read => &mut self.readers,
            Access::Write => &mut self.writers,
        }
    }
}

/// One use of a grant. Give it back to [`GrantTable::release`] of the table it is from; dropping it instead leaves the
/// grant in use until its domain is destroyed.
#[derive(Debug)]
#[must_use = "a grant in use must be released"]
pub struct Pinned<F> {
    gref: GrantRef,
    access: Access,
    part: Part,
    frame: F,
}

impl<F> Pinned<F> {
    /// What of the page is granted.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The page.
    pub fn frame(&self) -> &F {
        &self.frame
    }
}

impl<P: GuestPage, F: Clone> GrantTable<P, F> {
    /// Puts a grant to use. The guest sees the entry's use bits set from now until the last use is released.
    ///
    /// `resolve` finds the page behind a guest frame of this domain and takes a reference to it. It must refuse
    /// everything but RAM that the domain itself may write. It is called for the first use only: later ones share the
    /// page that the first one found.
    ///
    /// A transitive entry is refused with [`GrantError::Transitive`], which names the grant that it passes on. Who
    /// wants to copy puts that one to use, then this one with [`Purpose::CopyVia`](super::Purpose::CopyVia) and that
    /// one's page, and releases them in the opposite order: so whoever uses this one has that one in use, too, and all
    /// have the same page.
    ///
    /// # Errors
    /// [`GrantError::NoDomain`], [`GrantError::BadRef`], [`GrantError::NoAccess`], [`GrantError::NotYours`],
    /// [`GrantError::ReadOnly`], [`GrantError::NotMappable`], [`GrantError::Unstable`], [`GrantError::BadFrame`],
    /// [`GrantError::TooManyPins`], [`GrantError::NoMemory`], [`GrantError::Transitive`].
    pub fn acquire(
        &mut self,
        gref: GrantRef,
        wanted: Wanted,
        resolve: impl FnOnce(Gfn) -> Option<F>,
    ) -> Result<Pinned<F>, GrantError> {
        if self.dying {
            return Err(GrantError::NoDomain(self.dom));
        }
        match self.slot(gref)? {
            Some(slot) => self.acquire_again(gref, slot, wanted),
            None => self.acquire_first(gref, wanted, resolve),
        }
    }

    fn acquire_first(
        &mut self,
        gref: GrantRef,
        wanted: Wanted,
        resolve: impl FnOnce(Gfn) -> Option<F>,
    ) -> Result<Pinned<F>, GrantError> {
        // There is a slot for every reference.
        let slot = self.active.reserve()?.ok_or(GrantError::TooManyPins(gref))?;
        let got = self.entry(gref).and_then(|entry| {
            let flags = entry.mark(wanted)?;
            let gfn = entry.frame();
            let frame = resolve(gfn).ok_or(GrantError::BadFrame(gfn)).inspect_err(|_| entry.clear())?;
            Ok((frame, entry.part(flags)))
        });
        let (frame, part) = got.inspect_err(|_| self.active.cancel(slot))?;
        let via = wanted.purpose.via();
        let mut active = Active { by: wanted.by, frame: frame.clone(), part, via, readers: 0, writers: 0 };
        *active.count(wanted.access) = 1;
        self.active.fill(slot, active);
        self.set_slot(gref, Some(slot));
        Ok(Pinned { gref, access: wanted.access, part, frame })
    }

    fn acquire_again(&mut self, gref: GrantRef, slot: u32, wanted: Wanted) -> Result<Pinned<F>, GrantError> {
        let active = self.active.get(slot).ok_or(GrantError::InUse(gref))?;
        if active.by != wanted.by {
            return Err(GrantError::NotYours { gref, to: active.by });
        }
        match (active.via, wanted.purpose.via()) {
            (Some(via), None) => return Err(GrantError::Transitive { gref, via }),
            (held, wanted) if held != wanted => return Err(GrantError::InUse(gref)),
            _ => {}
        }
        // The entry is checked anew each time: the guest may have mapped it read-only, or taken the permission to map.
        self.entry(gref)?.mark(wanted)?;
        let active = self.active.get_mut(slot).ok_or(GrantError::InUse(gref))?;
        let count = active.count(wanted.access);
        *count = count.checked_add(1).ok_or(GrantError::TooManyPins(gref))?;
        Ok(Pinned { gref, access: wanted.access, part: active.part, frame: active.frame.clone() })
    }

    /// Ends one use of a grant. If the table has been emptied meanwhile, only the page is let go of.
    pub fn release(&mut self, pin: Pinned<F>) {
        let Ok(Some(slot)) = self.slot(pin.gref) else { return };
        let Some(active) = self.active.get_mut(slot) else { return };
        let count = active.count(pin.access);
        debug_assert!(*count > 0, "{} released more often than acquired", pin.gref);
        *count = count.saturating_sub(1);
        let (readers, writers) = (active.readers, active.writers);
        if readers == 0 && writers == 0 {
            self.active.take(slot);
            self.set_slot(pin.gref, None);
        }
        if let Ok(entry) = self.entry(pin.gref) {
            match (readers, writers) {
                (0, 0) => entry.clear(),
                (_, 0) => entry.clear_writing(),
                _ => {}
            }
        }
    }
}

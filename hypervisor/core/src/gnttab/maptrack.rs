//! What a domain has mapped from others, by handle.

use super::acquire::Pinned;
use super::{GrantError, Handle};
use crate::frame::Gfn;
use crate::ids::DomId;
use crate::slab::Slab;

/// A grant mapping. It owns the use of the grant; whoever takes it out of the table releases that.
#[derive(Debug)]
pub struct Mapping<F> {
    /// The granting domain.
    pub granter: DomId,
    /// Where the page is mapped in the mapping domain.
    pub at: Gfn,
    /// The use of the grant.
    pub pin: Pinned<F>,
}

/// The mapping side of a domain.
#[derive(Debug)]
pub struct MapTrack<F> {
    pub(super) mappings: Slab<Mapping<F>>,
}

impl<F> MapTrack<F> {
    /// No mappings, and at most `max` of them.
    pub const fn new(max: u32) -> Self {
        Self { mappings: Slab::new(max) }
    }

    /// Takes a handle for a mapping that is about to be made. It names nothing until [`fill`](Self::fill).
    ///
    /// # Errors
    /// [`GrantError::NoHandle`], [`GrantError::NoMemory`].
    pub fn reserve(&mut self) -> Result<Handle, GrantError> {
        let max = self.mappings.limit;
        self.mappings.reserve()?.map(Handle).ok_or(GrantError::NoHandle { max })
    }

    /// The mapping is made.
    pub fn fill(&mut self, handle: Handle, mapping: Mapping<F>) {
        self.mappings.fill(handle.0, mapping);
    }

    /// The mapping could not be made.
    pub fn cancel(&mut self, handle: Handle) {
        self.mappings.cancel(handle.0);
    }

    /// The mapping behind a handle.
    ///
    /// # Errors
    /// [`GrantError::BadHandle`].
    pub fn get(&self, handle: Handle) -> Result<&Mapping<F>, GrantError> {
        self.mappings.get(handle.0).ok_or(GrantError::BadHandle(handle))
    }

    /// Takes a mapping out, to unmap it from `at` (`GNTTABOP_unmap_grant_ref`). The handle is free at once.
    ///
    /// # Errors
    /// [`GrantError::BadHandle`], [`GrantError::WrongAddress`].
    pub fn take(&mut self, handle: Handle, at: Gfn) -> Result<Mapping<F>, GrantError> {
        let mapping = self.get(handle)?;
        if mapping.at != at {
            return Err(GrantError::WrongAddress { at: mapping.at });
        }
        self.mappings.take(handle.0).ok_or(GrantError::BadHandle(handle))
    }

    /// How many of the `budget` handles from `first` on map grants of a domain, and the handle to go on with.
    pub fn count(&self, granter: DomId, first: u32, budget: u32) -> (u32, Option<u32>) {
        let stop = first.saturating_add(budget).min(self.mappings.end());
        let is_its = |handle: &u32| self.mappings.get(*handle).is_some_and(|map| map.granter == granter);
        let count = (first..stop).filter(is_its).count() as u32;
        (count, (stop < self.mappings.end()).then_some(stop))
    }

    /// Takes the next mapping out to destroy the domain, looking at no more than `budget` handles from `cursor` on;
    /// both count along. All are out when this gives `None` with budget left.
    pub fn take_next(&mut self, cursor: &mut u32, budget: &mut u32) -> Option<Mapping<F>> {
        self.mappings.take_next(cursor, budget)
    }
}

//! A domain's part in grants: its table, what it has mapped of others, and the p2m side of both.
//!
//! The rules of the tables and their locks are in [`gnttab`](crate::gnttab).

use super::{Domain, DomainConfig};
use crate::frame::Gfn;
use crate::frames::FrameRef;
use crate::gnttab::{Content, GrantError, GrantRef, GrantTable, MapTrack, Mapping, Pinned, Wanted};
use crate::ids::DomId;
use crate::machine::Machine;

/// Handles that one page of map tracking stands for, in the unit that `max_maptrack_frames` is given in: Xen keeps 16
/// bytes for each.
const HANDLES_PER_FRAME: u32 = 256;
/// Pages of the table that a domain has from its start.
const INITIAL_FRAMES: u32 = 1;

/// The most mappings that end with one flush: some tens of microseconds of work.
pub(crate) const MAX_ENDING: usize = 32;

/// The table by which a domain grants.
pub type Grants<M> = GrantTable<FrameRef<M>, FrameRef<M>>;
/// What a domain has mapped of others.
pub type Mappings<M> = MapTrack<FrameRef<M>>;
/// A use of a grant.
pub type Pin<M> = Pinned<FrameRef<M>>;

/// Mappings that end together, with one flush. They are out of the map tracking; their pages are still in the p2m.
pub(crate) type Ending<M> = [Option<Mapping<FrameRef<M>>>; MAX_ENDING];

/// The table and the map tracking of a new domain, as large as its configuration allows.
pub(super) fn new_tables<M: Machine>(
    machine: M,
    id: DomId,
    config: &DomainConfig,
) -> Result<(Grants<M>, Mappings<M>), GrantError> {
    let mut grants = GrantTable::new(id, config.max_grant_frames, config.max_grant_version);
    let frames = INITIAL_FRAMES.min(config.max_grant_frames);
    grants.grow(Content::Entries, frames, || Ok(FrameRef::alloc_shared(machine, id)?))?;
    Ok((grants, MapTrack::new(config.max_maptrack_frames.saturating_mul(HANDLES_PER_FRAME))))
}

impl<M: Machine> Domain<M> {
    /// Makes the domain's grant table at least `frames` pages long.
    ///
    /// # Errors
    /// As [`GrantTable::grow`].
    pub(crate) fn grow_grants(&self, machine: M, frames: u32) -> Result<(), GrantError> {
        let page = || Ok(FrameRef::alloc_shared(machine, self.id)?);
        self.grants.lock().grow(Content::Entries, frames, page)
    }

    /// A page of the domain's grant table, which grows to have it.
    ///
    /// # Errors
    /// As [`GrantTable::grow`].
    pub(crate) fn grant_frame(
        &self,
        machine: M,
        content: Content,
        index: u32,
    ) -> Result<FrameRef<M>, GrantError> {
        let mut grants = self.grants.lock();
        let full = GrantError::TableFull { max_frames: grants.size().max_frames };
        let frames = index.checked_add(1).ok_or(full)?;
        grants.grow(content, frames, || Ok(FrameRef::alloc_shared(machine, self.id)?))?;
        grants.frame(content, index).cloned().ok_or(full)
    }

    /// Notes that the guest has its grant table's page `index` at `gfn` now, and gives its former place.
    pub(crate) fn note_grant_frame(&self, content: Content, index: u32, gfn: Gfn) -> Option<Gfn> {
        self.grants.lock().set_gfn(content, index, Some(gfn)).filter(|old| *old != gfn)
    }

    /// Puts a grant of this domain to use.
    ///
    /// # Errors
    /// As [`GrantTable::acquire`].
    pub(crate) fn acquire_grant(&self, gref: GrantRef, wanted: Wanted) -> Result<Pin<M>, GrantError> {
        self.grants.lock().acquire(gref, wanted, |gfn| self.memory.grantable_page(gfn))
    }
}

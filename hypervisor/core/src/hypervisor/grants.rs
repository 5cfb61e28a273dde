//! Grants between two domains: mapped, unmapped, let go.
//!
//! The order of the steps, and why, is in [`gnttab`](crate::gnttab).

use hypercall_abi::grant_table as abi;

use super::Hypervisor;
use crate::domain::{Domain, DomainRef, Ending, MAX_ENDING, MemoryFault, Pin, Teardown};
use crate::frame::Mfn;
use crate::frames::FrameRef;
use crate::gnttab::{Access as Use, GrantError, Handle, MapRequest, Mapping, Purpose, Wanted};
use crate::ids::DomId;
use crate::machine::Machine;
use crate::p2m::{Access, P2mError, PageType, Progress};
use crate::refusals;

/// Handles, or uses of grants, that one step of a destruction looks at.
const TEARDOWN_BUDGET: u32 = 256;

refusals! {
    /// Why a grant was not mapped or copied.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum UseError {}
    passes on {
        /// The tables refuse.
        Grant(GrantError);
        /// The p2m refuses.
        P2m(P2mError);
        /// The caller's own page is not there.
        Memory(MemoryFault);
    }
}

impl UseError {
    /// The value for a `status` field (`GNTST_*`).
    pub const fn status(self) -> i16 {
        match self {
            Self::Grant(error) => error.status(),
            Self::P2m(P2mError::NoTable | P2mError::TableLimit { .. }) => abi::STATUS_NO_SPACE,
            Self::P2m(_) => abi::STATUS_BAD_VIRT_ADDR,
            Self::Memory(_) => abi::STATUS_BAD_PAGE,
        }
    }
}

/// A mapping that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// By which it is unmapped.
    pub handle: Handle,
    /// The frame.
    pub mfn: Mfn,
}

impl<M: Machine> Hypervisor<M> {
    /// Maps a grant into `mapper`. What was mapped at that guest frame before is replaced.
    ///
    /// # Errors
    /// See [`UseError`]; nothing has changed then.
    pub fn map_grant(&self, mapper: &Domain<M>, request: &MapRequest) -> Result<Mapped, UseError> {
        let granter = self.granter(request.granter)?;
        let handle = mapper.maptrack.lock().reserve()?;
        match self.map_pinned(mapper, &granter, request) {
            Ok(mapping) => {
                let mfn = mapping.pin.frame().mfn();
                mapper.maptrack.lock().fill(handle, mapping);
                Ok(Mapped { handle, mfn })
            }
            Err(error) => {
                mapper.maptrack.lock().cancel(handle);
                Err(error)
            }
        }
    }

    fn map_pinned(
        &self,
        mapper: &Domain<M>,
        granter: &DomainRef<M>,
        request: &MapRequest,
    ) -> Result<Mapping<FrameRef<M>>, UseError> {
        let wanted = Wanted { by: mapper.id, access: request.access, purpose: Purpose::Map };
        let pin = granter.acquire_grant(request.gref, wanted)?;
        let access = Access { write: request.access == Use::Write, execute: false };
        let flush = || self.flush_guest_tlbs(mapper);
        match mapper.memory.map(request.at, pin.frame().clone(), PageType::GrantMapped, access, flush) {
            Ok(()) => Ok(Mapping { granter: granter.id, at: request.at, pin }),
            Err((error, frame)) => {
                drop(frame);
                self.release_grant(granter, pin);
                Err(error.into())
            }
        }
    }

    /// A domain by the number that an operation names as the granting one.
    ///
    /// # Errors
    /// [`GrantError::NoDomain`].
    pub fn granter(&self, id: DomId) -> Result<DomainRef<M>, GrantError> {
        self.domain(id).ok_or(GrantError::NoDomain(id))
    }

    /// Ends one use of a grant. If it was the last thing that held a dead domain, that one is gone now.
    pub fn release_grant(&self, granter: &Domain<M>, pin: Pin<M>) {
        granter.grants.lock().release(pin);
        self.bury_if_free(granter);
    }

    /// Unmaps what is out of the map tracking of `mapper` already, with one flush, and ends the uses.
    pub(crate) fn end_mappings(&self, mapper: &Domain<M>, mut ending: Ending<M>) {
        mapper.memory.unmap_grants(&mut ending, || self.flush_guest_tlbs(mapper));
        for mapping in ending.into_iter().flatten() {
            // A domain stays in the table of domains while a use of its grants keeps one of its frames.
            if let Some(granter) = self.domain(mapping.granter) {
                self.release_grant(&granter, mapping.pin);
            }
        }
    }

    /// One step of ending, for a dying domain, what it has mapped and then what it has granted. Pages that others have
    /// mapped stay theirs until they let go.
    pub(super) fn end_grants(&self, domain: &Domain<M>, at: &mut Teardown) -> Progress {
        let mut budget = TEARDOWN_BUDGET;
        let mut ending: Ending<M> = [const { None }; MAX_ENDING];
        {
            let mut track = domain.maptrack.lock();
            ending.iter_mut().for_each(|place| *place = track.take_next(&mut at.mapping, &mut budget));
        }
        // The tracking is empty if it has nothing to offer though it could have looked further.
        let unfinished = budget == 0 || ending.last().is_some_and(Option::is_some);
        self.end_mappings(domain, ending);
        if unfinished || !domain.grants.lock().destroy_some(&mut at.grant, TEARDOWN_BUDGET) {
            return Progress::More;
        }
        Progress::Done
    }
}

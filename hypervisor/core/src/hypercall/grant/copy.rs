//! `GNTTABOP_copy`: bytes from page to page, each the caller's own or granted to it.
//!
//! Network backends pass every packet through here, so the way for two own pages takes no lock but the p2m's.

use alloc::sync::Arc;
use core::mem::offset_of;

use hypercall_abi::abi::Abi;
use hypercall_abi::grant_table as abi;

use super::{Array, BUDGET, Call, Machine, Result, UseError, status};
use crate::domain::{Domain, Pin};
use crate::frames::FrameRef;
use crate::gnttab::{Access, CopyEnd, CopyPlace, CopyRequest, GrantError, GrantRef, Purpose, Via, Wanted};

pub(super) fn copy<A: Abi, M: Machine>(call: &mut Call<'_, M>, array: Array) -> Result {
    for at in array.step::<abi::Copy<A>>(BUDGET)? {
        let op: abi::Copy<A> = call.read(at)?;
        let status = status(call, "copy", copy_one(call, &op));
        call.write(at + offset_of!(abi::Copy<A>, status) as u64, &status)?;
    }
    array.after::<A, abi::Copy<A>, M>(call, BUDGET)
}

fn copy_one<A: Abi, M: Machine>(call: &Call<'_, M>, op: &abi::Copy<A>) -> Result<(), UseError> {
    let request = CopyRequest::decode(op)?;
    let source = Held::get(call, request.source, Access::Read)?;
    let dest = match Held::get(call, request.dest, Access::Write) {
        Ok(dest) => dest,
        Err(failure) => {
            source.release(call);
            return Err(failure);
        }
    };
    if let Err(error) = source.check(request.source, request.len).and(dest.check(request.dest, request.len)) {
        source.release(call);
        dest.release(call);
        return Err(error.into());
    }
    let from = (source.frame(), usize::from(request.source.offset));
    let to = (dest.frame(), usize::from(request.dest.offset));
    call.hv.machine.copy(from, to, usize::from(request.len));
    source.release(call);
    dest.release(call);
    Ok(())
}

/// A grant in use, and the domain that it is of.
type Use<M> = (Arc<Domain<M>>, Pin<M>);

/// Acquires the grant `via` that another one, `gref` of `granter`, passes on, and then that one.
#[cold]
fn passed_on<M: Machine>(
    call: &Call<'_, M>,
    granter: Arc<Domain<M>>,
    gref: GrantRef,
    wanted: Wanted,
    via: Via,
) -> Result<[Use<M>; 2], GrantError> {
    let owner = call.hv.granter(via.dom)?;
    let page = owner.acquire_grant(via.gref, Wanted { by: granter.id, ..wanted })?;
    let frame = page.frame().clone();
    let wanted = Wanted { purpose: Purpose::CopyVia(via), ..wanted };
    // A statement of its own, so that the lock is not held when the owner's is taken.
    let passing = granter.grants.lock().acquire(gref, wanted, |_| Some(frame));
    match passing {
        Ok(passing) => Ok([(owner, page), (granter, passing)]),
        Err(error) => {
            call.hv.release_grant(&owner, page);
            Err(error)
        }
    }
}

/// A page that is held while the copy runs.
enum Held<M: Machine> {
    Own(FrameRef<M>),
    Granted(Arc<Domain<M>>, Pin<M>),
    /// The grant with the page, and the one that passes it on.
    PassedOn([Use<M>; 2]),
}

impl<M: Machine> Held<M> {
    fn get(call: &Call<'_, M>, end: CopyEnd, access: Access) -> Result<Self, UseError> {
        match end.place {
            CopyPlace::Own(gfn) => Ok(Self::Own(call.domain().memory.own_page(gfn)?)),
            CopyPlace::Granted { dom, gref } => {
                let granter = call.hv.granter(call.domain_id(dom.0))?;
                let wanted = Wanted { by: call.domain().id, access, purpose: Purpose::Copy };
                match granter.acquire_grant(gref, wanted) {
                    Ok(pin) => Ok(Self::Granted(granter, pin)),
                    Err(GrantError::Transitive { via, .. }) => {
                        Ok(Self::PassedOn(passed_on(call, granter, gref, wanted, via)?))
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// The page, and the grant that says how much of it may be used.
    fn pin(&self) -> Option<&Pin<M>> {
        match self {
            Self::Own(_) => None,
            Self::Granted(_, pin) | Self::PassedOn([(_, pin), _]) => Some(pin),
        }
    }

    fn check(&self, CopyEnd { offset, .. }: CopyEnd, len: u16) -> Result<(), GrantError> {
        let granted = self.pin().is_none_or(|pin| pin.part().has(offset, len));
        if granted { Ok(()) } else { Err(GrantError::OutsidePart { offset, len }) }
    }

    fn frame(&self) -> &FrameRef<M> {
        match self {
            Self::Own(frame) => frame,
            Self::Granted(_, pin) | Self::PassedOn([(_, pin), _]) => pin.frame(),
        }
    }

    fn release(self, call: &Call<'_, M>) {
        match self {
            Self::Own(_) => {}
            Self::Granted(granter, pin) => call.hv.release_grant(&granter, pin),
            // In the opposite order of acquiring, as a grant table asks for.
            Self::PassedOn([page, passing]) => {
                for (granter, pin) in [passing, page] {
                    call.hv.release_grant(&granter, pin);
                }
            }
        }
    }
}

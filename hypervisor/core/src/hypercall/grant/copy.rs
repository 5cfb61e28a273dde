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
use crate::gnttab::{Access, CopyEnd, CopyPlace, CopyRequest, Purpose, Wanted};

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
    let from = (source.frame(), usize::from(request.source.offset));
    let to = (dest.frame(), usize::from(request.dest.offset));
    call.hv.machine.copy(from, to, usize::from(request.len));
    source.release(call);
    dest.release(call);
    Ok(())
}

/// A page that is held while the copy runs.
enum Held<M: Machine> {
    Own(FrameRef<M>),
    Granted(Arc<Domain<M>>, Pin<M>),
}

impl<M: Machine> Held<M> {
    fn get(call: &Call<'_, M>, end: CopyEnd, access: Access) -> Result<Self, UseError> {
        match end.place {
            CopyPlace::Own(gfn) => Ok(Self::Own(call.domain().memory.own_page(gfn)?)),
            CopyPlace::Granted { dom, gref } => {
                let granter = call.hv.granter(call.domain_id(dom.0))?;
                let wanted = Wanted { by: call.domain().id, access, purpose: Purpose::Copy };
                let pin = granter.acquire_grant(gref, wanted)?;
                Ok(Self::Granted(granter, pin))
            }
        }
    }

    fn frame(&self) -> &FrameRef<M> {
        match self {
            Self::Own(frame) => frame,
            Self::Granted(_, pin) => pin.frame(),
        }
    }

    fn release(self, call: &Call<'_, M>) {
        if let Self::Granted(granter, pin) = self {
            call.hv.release_grant(&granter, pin);
        }
    }
}

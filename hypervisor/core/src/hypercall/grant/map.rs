//! Mapping and unmapping granted pages, at guest-physical addresses of the caller.

use core::mem::offset_of;

use hypercall_abi::abi::Abi;
use hypercall_abi::grant_table as abi;

use super::{Array, Call, Machine, Result, UseError, status};
use crate::domain::{Domain, Ending, MAX_ENDING};
use crate::frames::FrameRef;
use crate::gnttab::{MapRequest, Mapping, ReplaceRequest, UnmapRequest};
use crate::hypercall::memory::move_page;

/// Elements that one step handles.
const BUDGET: u64 = MAX_ENDING as u64;

pub(super) fn map<A: Abi, M: Machine>(call: &mut Call<'_, M>, array: Array) -> Result {
    for at in array.step::<abi::MapGrantRef>(BUDGET)? {
        // If it cannot be written back, the caller has lost the handle of a mapping, to its own harm.
        call.update(at, |op: &mut abi::MapGrantRef| {
            op.status = status(call, "map", map_one(call, op));
            Ok(())
        })?;
    }
    array.after::<A, abi::MapGrantRef, M>(call, BUDGET)
}

fn map_one<M: Machine>(call: &Call<'_, M>, op: &mut abi::MapGrantRef) -> Result<(), UseError> {
    let mut request = MapRequest::new(op)?;
    request.granter = call.domain_id(op.dom);
    let mapped = call.hv.map_grant(call.domain(), &request)?;
    op.handle = mapped.handle.0;
    // The address for devices. Where no IOMMU translates, they know the page by its machine address only; the domain
    // that owns them is the one that this could be of use to.
    let domain = call.domain();
    let by_machine_address = domain.is_identity_mapped() && !domain.memory.is_dma_translated();
    op.dev_bus_addr = if by_machine_address { mapped.mfn.addr().0 } else { request.at.addr().0 };
    Ok(())
}

/// Unmaps in two passes, so that the mappings of a step share one flush: the elements are read and their mappings taken
/// out of the tracking; when the pages are out of reach, the results are written.
pub(super) fn unmap<A: Abi, M: Machine>(call: &mut Call<'_, M>, array: Array) -> Result {
    let mut ending: Ending<M> = [const { None }; MAX_ENDING];
    let mut results = [None; MAX_ENDING];
    let mut unreadable = None;
    let places = array.step::<abi::UnmapGrantRef>(BUDGET)?;
    for ((at, mapping), result) in places.zip(&mut ending).zip(&mut results) {
        match call.read(at) {
            Ok(op) => {
                let taken = take(call.domain(), &op).map(|taken| *mapping = taken);
                *result = Some((at, status(call, "unmap", taken)));
            }
            Err(refused) => {
                unreadable = Some(refused);
                break;
            }
        }
    }
    call.hv.end_mappings(call.domain(), ending);
    for (at, status) in results.into_iter().flatten() {
        call.write(at + offset_of!(abi::UnmapGrantRef, status) as u64, &status)?;
    }
    match unreadable {
        Some(refused) => Err(refused),
        None => array.after::<A, abi::UnmapGrantRef, M>(call, BUDGET),
    }
}

/// The mapping that an element is about, if it asks for anything.
fn take<M: Machine>(
    domain: &Domain<M>,
    op: &abi::UnmapGrantRef,
) -> Result<Option<Mapping<FrameRef<M>>>, UseError> {
    let Some(request) = UnmapRequest::new(op)? else { return Ok(None) };
    Ok(Some(domain.maptrack.lock().take(request.handle, request.at)?))
}

/// Unmaps a page and moves another of the caller's own to where it was (`GNTTABOP_unmap_and_replace`).
pub(super) fn replace<A: Abi, M: Machine>(call: &mut Call<'_, M>, array: Array) -> Result {
    for at in array.step::<abi::UnmapAndReplace>(BUDGET)? {
        call.update(at, |op: &mut abi::UnmapAndReplace| {
            op.status = replace_one(call, op);
            Ok(())
        })?;
    }
    array.after::<A, abi::UnmapAndReplace, M>(call, BUDGET)
}

fn replace_one<M: Machine>(call: &Call<'_, M>, op: &abi::UnmapAndReplace) -> i16 {
    let domain = call.domain();
    let taken = ReplaceRequest::new(op).map_err(UseError::from).and_then(|request| {
        // Looked at before anything changes. If it is gone by the time it is moved, the guest has done that itself.
        request.by.map(|by| domain.memory.own_page(by)).transpose()?;
        Ok((request, domain.maptrack.lock().take(request.unmap.handle, request.unmap.at)?))
    });
    let (request, mapping) = match taken {
        Ok(taken) => taken,
        Err(error) => return status(call, "unmap and replace", Err(error)),
    };
    let mut ending: Ending<M> = [const { None }; MAX_ENDING];
    ending[0] = Some(mapping);
    call.hv.end_mappings(domain, ending);
    match request.by.map_or(Ok(()), |by| move_page(call, domain, by, request.unmap.at)) {
        Ok(()) => abi::STATUS_OKAY,
        Err(refused) => {
            call.log(format_args!("grant unmapped but not replaced: {refused}"));
            abi::STATUS_BAD_VIRT_ADDR
        }
    }
}

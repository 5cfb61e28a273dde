//! Pages that the hypervisor keeps for a domain, mapped by the domain itself or by its controller.
//!
//! There is one kind: the pages of the grant table, of entries and of status words. Their p2m entries hold references, so
//! a page outlives its table for as long as somebody has it mapped.

use hypercall_abi::abi::{Abi, Word};
use hypercall_abi::memory as abi;

use super::memory::{BUDGET, foreign_domain, go_on};
use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::domain::Domain;
use crate::frame::{Gfn, Mfn};
use crate::gnttab::Content;
use crate::p2m::{Access, P2mError, PageType};

/// `XENMAPSPACE_grant_table`: puts page `index` of the domain's grant table at `gfn`, and takes it away from where it
/// was put before. The table grows to have that page. A bit of the index says that the page is one of status words.
pub(super) fn map_grant_frame<M: Machine>(
    call: &Call<'_, M>,
    domain: &Domain<M>,
    index: u64,
    gfn: Gfn,
) -> Result<()> {
    let Ok(place) = u32::try_from(index) else { refuse!(EINVAL, "grant tables have no page {index}") };
    let status = abi::MAPIDX_GRANT_TABLE_STATUS;
    let content = if place & status != 0 { Content::Status } else { Content::Entries };
    let index = place & !status;
    let frame = domain.grant_frame(call.hv.machine, content, index)?;
    let mfn = frame.mfn();
    let flush = || call.hv.flush_guest_tlbs(domain);
    domain.memory.map(gfn, frame, PageType::Ram, Access::READ_WRITE, flush).map_err(|(error, _)| error)?;
    match domain.note_grant_frame(content, index, gfn) {
        Some(old) => withdraw(call, domain, old, mfn),
        None => Ok(()),
    }
}

/// Takes a page of the domain's grant table away from where it was put.
pub(super) fn withdraw<M: Machine>(
    call: &Call<'_, M>,
    domain: &Domain<M>,
    gfn: Gfn,
    page: Mfn,
) -> Result<()> {
    match domain.memory.unmap(gfn, |entry| entry.mfn == page, || call.hv.flush_guest_tlbs(domain)) {
        // The guest may have put something else there since.
        Ok(_) | Err(P2mError::NotMapped { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// `XENMEM_acquire_resource`: maps pages of another domain's resource at guest frames that the caller lists, or says how
/// many pages there are at most.
pub(super) fn acquire<A: Abi, M: Machine>(call: &mut Call<'_, M>, start: u64, arg: u64) -> Result {
    let mut ask: abi::AcquireResource<A> = call.read(arg)?;
    ensure!(ask.pad == 0, EINVAL, "the padding of acquire_resource is {:#x}, not zero", ask.pad);
    let domain = foreign_domain(call, ask.domid)?;
    let content = match (ask.kind, ask.id) {
        (abi::RESOURCE_GRANT_TABLE, abi::RESOURCE_GRANT_TABLE_ID_SHARED) => Content::Entries,
        (abi::RESOURCE_GRANT_TABLE, abi::RESOURCE_GRANT_TABLE_ID_STATUS) => Content::Status,
        (abi::RESOURCE_IOREQ_SERVER, _) => {
            refuse!(EOPNOTSUPP, "I/O request servers are for unmodified guests, which there are none of")
        }
        (kind, id) => refuse!(EINVAL, "there is no resource of kind {kind} with number {id}"),
    };
    let max = domain.grants.lock().limit(content)?;
    let (list, count) = (ask.frame_list.get(), u64::from(ask.nr_frames));
    if list == 0 {
        ensure!(count == 0, EINVAL, "{count} frames of a resource asked for, and no list of places for them");
        ask.nr_frames = max;
        call.write(arg, &ask)?;
        return Ok(Outcome::OK);
    }
    let first = ask.frame.get();
    if first.checked_add(count).is_none_or(|end| end > max.into()) {
        refuse!(EINVAL, "{count} grant table frames from {first} on: there are {max} at most");
    }
    let stop = count.min(start.saturating_add(BUDGET));
    for i in start..stop {
        let gfn: A::Ulong = call.read_element(list, i)?;
        // In range: checked above.
        let frame = domain.grant_frame(call.hv.machine, content, (first + i) as u32)?;
        let flush = || call.hv.flush_guest_tlbs(call.domain());
        let memory = &call.domain().memory;
        memory
            .map(Gfn(gfn.get()), frame, PageType::Foreign, Access::READ_WRITE, flush)
            .map_err(|(error, _)| error)?;
    }
    if stop >= count { Ok(Outcome::OK) } else { go_on::<A, M>(call, abi::ACQUIRE_RESOURCE, stop) }
}

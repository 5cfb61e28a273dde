//! The table itself: its size, its frames, its version.

use alloc::sync::Arc;

use hypercall_abi::abi::{Abi, Word};
use hypercall_abi::grant_table as abi;

use super::{Call, Machine, Result, status};
use crate::domain::Domain;
use crate::frames::FrameRef;
use crate::gnttab::{Content, GrantError};
use crate::hypercall::resource;

/// What stands for a page of the table that the guest has not mapped anywhere (`INVALID_GFN`).
const NOWHERE: u64 = u64::MAX;

/// The domain whose table an operation is about.
fn owner<M: Machine>(call: &Call<'_, M>, id: u16) -> Result<Arc<Domain<M>>, GrantError> {
    let id = call.domain_id(id);
    if id != call.domain().id && !call.domain().privileged {
        return Err(GrantError::NotController(id));
    }
    call.hv.granter(id)
}

pub(super) fn query_size<M: Machine>(call: &Call<'_, M>, op: &mut abi::QuerySize) -> Result<()> {
    let size = owner(call, op.dom).map(|owner| owner.grants.lock().size());
    let result = size.map(|size| (op.nr_frames, op.max_nr_frames) = (size.frames, size.max_frames));
    op.status = status(call, "query_size", result);
    Ok(())
}

/// Grows a table and lists where the guest has its pages. A guest with a p2m puts them there itself
/// (`XENMAPSPACE_grant_table`), before or after.
pub(super) fn setup_table<A: Abi, M: Machine>(call: &Call<'_, M>, op: &mut abi::SetupTable<A>) -> Result<()> {
    let owner = owner(call, op.dom);
    let grown = owner.and_then(|owner| owner.grow_grants(call.hv.machine, op.nr_frames).map(|()| owner));
    if let Ok(owner) = &grown {
        let place = |index| owner.grants.lock().gfn(Content::Entries, index).map_or(NOWHERE, |gfn| gfn.0);
        let places = (0..op.nr_frames).map(|index| A::Ulong::truncated(place(index)));
        call.write_all(op.frame_list.get(), op.nr_frames, places)?;
    }
    op.status = status(call, "setup_table", grown.map(drop));
    Ok(())
}

pub(super) fn get_version<M: Machine>(call: &Call<'_, M>, op: &mut abi::GetVersion) -> Result<()> {
    op.version = owner(call, op.dom)?.grants.lock().version() as u32;
    Ok(())
}

pub(super) fn set_version<M: Machine>(call: &Call<'_, M>, at: u64) -> Result<()> {
    let op: abi::SetVersion = call.read(at)?;
    let domain = call.domain();
    let page = || Ok(FrameRef::alloc_shared(call.hv.machine, domain.id)?);
    let result = domain.grants.lock().set_version(op.version, page);
    // The caller learns what the table is, refused or not.
    let version = domain.grants.lock().version() as u32;
    call.write(at, &abi::SetVersion { version })?;
    result?;
    if version == 1 { forget_status(call, domain) } else { Ok(()) }
}

/// Takes the status words away from where the guest has them: version 1 has none.
fn forget_status<M: Machine>(call: &Call<'_, M>, domain: &Domain<M>) -> Result<()> {
    for index in 0.. {
        let mut grants = domain.grants.lock();
        let Some(page) = grants.frame(Content::Status, index).map(FrameRef::mfn) else { break };
        let place = grants.set_gfn(Content::Status, index, None);
        drop(grants);
        place.map_or(Ok(()), |gfn| resource::withdraw(call, domain, gfn, page))?;
    }
    Ok(())
}

/// Lists where the guest has its status words (`XENMAPSPACE_grant_table` puts them there). They are there with the
/// entries.
pub(super) fn status_frames<A: Abi, M: Machine>(
    call: &Call<'_, M>,
    op: &mut abi::GetStatusFrames<A>,
) -> Result<()> {
    let owner = owner(call, op.dom).and_then(|owner| {
        let grants = owner.grants.lock();
        let max_frames = grants.limit(Content::Status)?;
        let there =
            op.nr_frames.checked_sub(1).is_none_or(|last| grants.frame(Content::Status, last).is_some());
        drop(grants);
        if there { Ok(owner) } else { Err(GrantError::TableFull { max_frames }) }
    });
    if let Ok(owner) = &owner {
        let place = |index| owner.grants.lock().gfn(Content::Status, index).map_or(NOWHERE, |gfn| gfn.0);
        call.write_all(op.frame_list.get(), op.nr_frames, (0..op.nr_frames).map(place))?;
    }
    op.status = status(call, "get_status_frames", owner.map(drop));
    Ok(())
}

//! The table itself: its size, its frames, its version.

use alloc::sync::Arc;

use hypercall_abi::abi::{Abi, Word};
use hypercall_abi::grant_table as abi;

use super::{Call, Machine, Result, status};
use crate::domain::Domain;
use crate::gnttab::{GrantError, VERSION};

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
        let place = |index| owner.grants.lock().gfn(index).map_or(NOWHERE, |gfn| gfn.0);
        let places = (0..op.nr_frames).map(|index| A::Ulong::truncated(place(index)));
        call.write_all(op.frame_list.get(), op.nr_frames, places)?;
    }
    op.status = status(call, "setup_table", grown.map(drop));
    Ok(())
}

pub(super) fn get_version<M: Machine>(call: &Call<'_, M>, op: &mut abi::GetVersion) -> Result<()> {
    owner(call, op.dom)?;
    op.version = VERSION;
    Ok(())
}

pub(super) fn set_version<M: Machine>(call: &Call<'_, M>, at: u64) -> Result<()> {
    let op: abi::SetVersion = call.read(at)?;
    let result = call.domain().grants.lock().set_version(op.version);
    // The caller learns what the table is, refused or not.
    call.write(at, &abi::SetVersion { version: VERSION })?;
    Ok(result?)
}

/// Version 1 keeps an entry's status in the entry.
pub(super) fn status_frames<A: Abi, M: Machine>(
    call: &Call<'_, M>,
    op: &mut abi::GetStatusFrames<A>,
) -> Result<()> {
    let result = owner(call, op.dom).and(Err(GrantError::NoVersion2));
    op.status = status(call, "get_status_frames", result);
    Ok(())
}

//! `memory_op` (`public/memory.h`): a domain's memory.
//!
//! The operation's number may carry the number of extents that are done already in its upper bits, so that the call
//! goes on where it stopped. Extents are handled in bounded batches.

use alloc::sync::Arc;

use hypercall_abi::abi::{Abi, CompatU64, Word};
use hypercall_abi::memory as abi;
use hypercall_abi::plain::{Plain, bytes_of_mut};
use hypercall_abi::xen::DOMID_XEN;

use super::{Call, Machine, Outcome, Result, ensure, refuse, resource};
use crate::domain::Domain;
use crate::fallible;
use crate::frame::{Gfn, Mfn};
use crate::frames::FrameRef;
use crate::p2m::{Access, Entry, PageType};

/// Extents of one frame that one step handles; larger extents count for more.
pub(super) const BUDGET: u64 = 64;
/// The largest extent, 2 MiB: anything larger takes too long to clear in one go, and callers fall back by themselves.
const MAX_ORDER: u32 = 9;

/// The most extents: how many are done must fit above the operation's number.
const MAX_EXTENTS: u64 = u32::MAX as u64 >> abi::EXTENT_SHIFT;

pub(super) fn memory_op<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [command, arg, ..] = call.args;
    let op = command as u32 & ((1 << abi::EXTENT_SHIFT) - 1);
    let start = (command >> abi::EXTENT_SHIFT) & MAX_EXTENTS;
    match op {
        abi::POPULATE_PHYSMAP | abi::DECREASE_RESERVATION => return extents::<A, M>(call, op, start, arg),
        abi::ADD_TO_PHYSMAP => {
            let add: abi::AddToPhysmap<A> = call.read(arg)?;
            let domain = call.target(add.domid)?;
            let place = Place { space: add.space, foreign: add.domid, idx: add.idx.get() };
            add_to_physmap(call, &domain, &place, Gfn(add.gpfn.get()))?;
        }
        abi::ACQUIRE_RESOURCE => return resource::acquire::<A, M>(call, start, arg),
        abi::ADD_TO_PHYSMAP_BATCH => return add_batch::<A, M>(call, start, arg),
        abi::REMOVE_FROM_PHYSMAP => {
            let remove: abi::RemoveFromPhysmap<A> = call.read(arg)?;
            let domain = call.target(remove.domid)?;
            let flush = || call.hv.flush_guest_tlbs(&domain);
            let removable = |e: &Entry| e.kind != PageType::GrantMapped;
            domain.memory.unmap(Gfn(remove.gpfn.get()), removable, flush)?;
        }
        abi::CURRENT_RESERVATION | abi::MAXIMUM_RESERVATION | abi::MAXIMUM_GPFN => {
            let of: abi::MemoryDomain = call.read(arg)?;
            let memory = &call.target(of.domid)?.memory;
            return Ok(Outcome::Done(match op {
                abi::CURRENT_RESERVATION => memory.frames().into(),
                abi::MAXIMUM_RESERVATION => memory.max_frames().into(),
                _ => memory.highest_gfn().0 as i64,
            }));
        }
        abi::MAXIMUM_RAM_PAGE => return Ok(Outcome::Done(call.hv.machine.table().end().0 as i64 - 1)),
        // What the tools (or, for the control domain, the builder) gave the caller's domain.
        abi::MEMORY_MAP => {
            let entries = call.domain().memory_map.lock();
            ensure!(!entries.is_empty(), ENOSYS, "{} was given no memory map", call.domain().id);
            call.update(arg, |map| show_map::<A, M>(call, map, &entries))?;
        }
        abi::SET_MEMORY_MAP => set_memory_map::<A, M>(call, arg)?,
        abi::MACHINE_MEMORY_MAP => {
            call.must_be_privileged()?;
            call.update(arg, |map| show_map::<A, M>(call, map, call.hv.machine.memory_map()))?;
        }
        abi::CLAIM_PAGES => {
            call.must_be_privileged()?;
            let claim: abi::Reservation<A> = call.read(arg)?;
            ensure!(
                claim.extent_order == 0,
                EINVAL,
                "a claim counts single frames, not order {}",
                claim.extent_order
            );
            let domain = call.target(claim.domid)?;
            // Under this lock it does not begin to die, after which nobody would end the claim.
            let _teardown = domain.teardown.lock();
            ensure!(domain.life.is_alive(), ESRCH, "{} is dying", domain.id);
            let (wanted, max) = (claim.nr_extents.get(), domain.memory.max_frames());
            ensure!(
                wanted <= max.into(),
                EINVAL,
                "a claim of {wanted} frames; {} may have {max} (max_mem)",
                domain.id
            );
            call.hv.machine.table().set_claim(domain.id, wanted)?;
        }
        abi::RESERVED_DEVICE_MEMORY_MAP => {}
        op => refuse!(ENOSYS, "memory_op {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// The call goes on from extent `next`.
pub(super) fn go_on<A: Abi, M: Machine>(call: &mut Call<'_, M>, op: u32, next: u64) -> Result {
    call.set_arg::<A>(0, u64::from(op) | next << abi::EXTENT_SHIFT);
    Ok(Outcome::Again)
}

/// Populates or gives back extents. The result is the number done: fewer than asked for when memory or the limit ran
/// out.
fn extents<A: Abi, M: Machine>(call: &mut Call<'_, M>, op: u32, start: u64, arg: u64) -> Result {
    let reservation: abi::Reservation<A> = call.read(arg)?;
    let (count, order) = (reservation.nr_extents.get(), reservation.extent_order);
    if order > MAX_ORDER || count > MAX_EXTENTS {
        // The number that were done, which is none: callers try smaller extents then.
        return Ok(Outcome::Done(start as i64));
    }
    if reservation.mem_flags.contains(abi::MemFlags::POPULATE_ON_DEMAND) {
        refuse!(EOPNOTSUPP, "populate-on-demand is for unmodified guests");
    }
    let domain = call.target(reservation.domid)?;
    ensure!(domain.life.is_alive(), ESRCH, "{} is dying", domain.id);
    let batch = (BUDGET >> order).max(1);
    let stop = count.min(start.saturating_add(batch));
    for done in start..stop {
        let gfn: A::Ulong = call.read_element(reservation.extent_start.get(), done)?;
        let gfn = Gfn(gfn.get());
        let result = if op == abi::POPULATE_PHYSMAP {
            populate(call, &domain, gfn, order)
        } else {
            decrease(call, &domain, gfn, order)
        };
        if let Err(refused) = result {
            call.log(format_args!("extent {done} of {count}: {refused}"));
            return Ok(Outcome::Done(done as i64));
        }
    }
    if stop == count { Ok(Outcome::Done(count as i64)) } else { go_on::<A, M>(call, op, stop) }
}

/// Puts fresh zeroed memory at `gfn`. An identity-mapped domain gets the frames of the same number, or nothing.
fn populate<M: Machine>(call: &Call<'_, M>, domain: &Domain<M>, gfn: Gfn, order: u32) -> Result<()> {
    let machine = call.hv.machine;
    let max = domain.memory.max_frames();
    if gfn.checked_add(1 << order).is_none() || !gfn.is_aligned(order) {
        refuse!(EINVAL, "guest frame {gfn} cannot start a run of order {order}");
    }
    if domain.memory.any_mapped(gfn, order) {
        refuse!(EBUSY, "guest frame {gfn} (order {order}) has memory already");
    }
    let mfn = if domain.is_identity_mapped() {
        let mfn = Mfn(gfn.0);
        FrameRef::claim_ram_run(machine, domain.id, mfn, order, max)?;
        mfn
    } else {
        FrameRef::alloc_ram_run(machine, domain.id, order, max)?
    };
    let flush = || call.hv.flush_guest_tlbs(domain);
    // The p2m has entries for 2 MiB and for single frames: other runs are mapped frame by frame.
    let leaf = if order == MAX_ORDER { order } else { 0 };
    for i in (0..1 << order).step_by(1 << leaf) {
        if let Err(error) = domain.memory.map_run(Gfn(gfn.0 + i), Mfn(mfn.0 + i), leaf, flush) {
            (i..1 << order).for_each(|i| drop(FrameRef::adopt(machine, Mfn(mfn.0 + i))));
            for i in 0..i {
                // What is not there any more the domain has taken away itself.
                let _ = domain.memory.unmap(Gfn(gfn.0 + i), |entry| entry.mfn == Mfn(mfn.0 + i), flush);
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// Takes memory away from `gfn`.
fn decrease<M: Machine>(call: &Call<'_, M>, domain: &Domain<M>, gfn: Gfn, order: u32) -> Result<()> {
    ensure!(gfn.checked_add(1 << order).is_some(), EINVAL, "guest frame {gfn} is past the address space");
    let flush = || call.hv.flush_guest_tlbs(domain);
    if order == 0 {
        domain.memory.unmap(gfn, |entry| entry.kind == PageType::Ram, flush)?;
    } else {
        domain.memory.unmap_ram(gfn, order, flush)?;
    }
    Ok(())
}

/// What is to be mapped: an index in a space.
struct Place {
    space: u32,
    foreign: u16,
    idx: u64,
}

fn add_to_physmap<M: Machine>(call: &Call<'_, M>, domain: &Domain<M>, place: &Place, gfn: Gfn) -> Result<()> {
    let flush = || call.hv.flush_guest_tlbs(domain);
    let (frame, kind) = match place.space {
        abi::MAPSPACE_SHARED_INFO if place.idx == 0 => (domain.shared_info.clone(), PageType::Ram),
        abi::MAPSPACE_GRANT_TABLE => return resource::map_grant_frame(call, domain, place.idx, gfn),
        abi::MAPSPACE_GMFN => return move_page(call, domain, Gfn(place.idx), gfn),
        abi::MAPSPACE_GMFN_FOREIGN if place.foreign == DOMID_XEN => {
            call.must_be_privileged()?;
            ensure!(domain.id == call.domain().id, EPERM, "the trace is not for {}", domain.id);
            (call.hv.machine.trace().page(Mfn(place.idx))?, PageType::Foreign)
        }
        abi::MAPSPACE_GMFN_FOREIGN => {
            let foreign = foreign_domain(call, place.foreign)?;
            (foreign.memory.own_page(Gfn(place.idx))?, PageType::Foreign)
        }
        abi::MAPSPACE_DEV_MMIO => refuse!(EOPNOTSUPP, "device memory is mapped without a call here"),
        space => refuse!(EINVAL, "map space {space}, index {} does not exist", place.idx),
    };
    let access = if kind == PageType::Foreign { Access::READ_WRITE } else { Access::ALL };
    domain.memory.map(gfn, frame, kind, access, flush).map_err(|(error, _)| error)?;
    Ok(())
}

/// Moves a page of the domain's RAM to another guest frame; what was there is gone.
pub(super) fn move_page<M: Machine>(
    call: &Call<'_, M>,
    domain: &Domain<M>,
    from: Gfn,
    to: Gfn,
) -> Result<()> {
    let flush = || call.hv.flush_guest_tlbs(domain);
    // Held until the end, so that its number stays its own.
    let page = domain.memory.own_page(from)?;
    domain.memory.map(to, page.clone(), PageType::Ram, Access::ALL, flush).map_err(|(error, _)| error)?;
    if from != to {
        let moved = |entry: &Entry| entry.mfn == page.mfn();
        domain.memory.unmap(from, moved, flush).or_else(|error| {
            // It is in one place only. What was at the new one is gone.
            domain.memory.unmap(to, moved, flush)?;
            Err(error)
        })?;
    }
    Ok(())
}

/// Another domain whose memory the caller may map because it controls it.
pub(super) fn foreign_domain<M: Machine>(call: &Call<'_, M>, id: u16) -> Result<Arc<Domain<M>>> {
    call.must_be_privileged()?;
    let foreign = call.other(id)?;
    ensure!(foreign.id != call.domain().id, EINVAL, "{} is not foreign to itself", foreign.id);
    ensure!(foreign.life.is_alive(), ESRCH, "{} is dying", foreign.id);
    Ok(foreign)
}

fn add_batch<A: Abi, M: Machine>(call: &mut Call<'_, M>, start: u64, arg: u64) -> Result {
    let batch: abi::AddToPhysmapBatch<A> = call.read(arg)?;
    let domain = call.target(batch.domid)?;
    let count = u64::from(batch.size);
    let stop = count.min(start.saturating_add(BUDGET));
    for i in start..stop {
        let idx: A::Ulong = call.read_element(batch.idxs.get(), i)?;
        let gfn: A::Ulong = call.read_element(batch.gpfns.get(), i)?;
        let place = Place { space: u32::from(batch.space), foreign: batch.foreign_domid, idx: idx.get() };
        let result = match add_to_physmap(call, &domain, &place, Gfn(gfn.get())) {
            Ok(()) => 0,
            Err(refused) => refused.errno().to_result() as i32,
        };
        call.write_element(batch.errs.get(), i, &result)?;
    }
    if stop == count { Ok(Outcome::OK) } else { go_on::<A, M>(call, abi::ADD_TO_PHYSMAP_BATCH, stop) }
}

fn show_map<A: Abi, M: Machine>(
    call: &Call<'_, M>,
    map: &mut abi::MemoryMap<A>,
    entries: &[abi::E820Entry],
) -> Result<()> {
    map.nr_entries = call.write_all(map.buffer.get(), map.nr_entries, entries.iter().copied())?;
    Ok(())
}

fn set_memory_map<A: Abi, M: Machine>(call: &Call<'_, M>, arg: u64) -> Result<()> {
    /// As many entries as a boot protocol passes on.
    const MAX_ENTRIES: u32 = 128;
    call.must_be_privileged()?;
    let abi::ForeignMemoryMap::<A> { domid, map, .. } = call.read(arg)?;
    let domain = call.target(domid)?;
    let count = map.nr_entries;
    ensure!(count <= MAX_ENTRIES, EINVAL, "a memory map of {count} entries; {MAX_ENTRIES} are the most");
    let Ok(mut entries) = fallible::filled(count as usize, abi::E820Entry::zeroed) else {
        refuse!(ENOMEM, "no hypervisor memory for a memory map")
    };
    call.read_bytes(map.buffer.get(), bytes_of_mut(&mut entries))?;
    *domain.memory_map.lock() = entries;
    Ok(())
}

/// A range of RAM for a memory map.
pub fn e820(start: u64, size: u64, kind: u32) -> abi::E820Entry {
    abi::E820Entry { addr: CompatU64::truncated(start), size: CompatU64::truncated(size), kind }
}

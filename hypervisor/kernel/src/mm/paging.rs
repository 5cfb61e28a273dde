//! The hypervisor's page tables: one set for all CPUs.
//!
//! Three areas, all supervisor-only, nothing both writable and executable:
//! - the direct map (see [`direct`]): read-write, never executable; code and constants of the image read-only in it;
//! - the [`vmap`](super::vmap) area: stacks between guard pages, device registers;
//! - the image at its linked address.
//!
//! Locks: `TABLES`; frames are allocated under it. Mappings are only ever added after the start-up, so no CPU ever
//! holds a stale translation.
#![allow(unsafe_code, reason = "builds and loads page tables")]

use core::ops::Range;

use spin::Once;
use tenon_core::frame::{Maddr, PAGE_SIZE};
use tenon_core::memory_map::{Kind, MemoryMap};
use tenon_core::sync::{Class, Lock};
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::mapper::MapToError;
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags as Flags, PhysFrame,
    Size1GiB, Size2MiB, Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

use super::image::{self, Access};
use super::{direct, phys};
use crate::cpu::features;

static ROOT: Once<Maddr> = Once::new();
static TABLES: Lock<Option<OffsetPageTable<'static>>> = Lock::new(Class::Tables, None);

const PAGE: u64 = PAGE_SIZE as u64;

tenon_core::errors! {
    /// Why a mapping was not made.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum MapError {
        /// No frame for a page table.
        OutOfFrames => "no frame for a page table";
        /// Something is mapped there already.
        AlreadyMapped => "the address is mapped already";
        /// The tables do not exist yet, or the address cannot be one.
        Invalid => "not an address that can be mapped";
    }
}

impl<S: PageSize> From<MapToError<S>> for MapError {
    fn from(error: MapToError<S>) -> Self {
        match error {
            MapToError::FrameAllocationFailed => Self::OutOfFrames,
            MapToError::ParentEntryHugePage | MapToError::PageAlreadyMapped(_) => Self::AlreadyMapped,
        }
    }
}

struct TableFrames;

// SAFETY: phys hands every frame to one owner.
unsafe impl FrameAllocator<Size4KiB> for TableFrames {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        let mfn = phys::alloc_zeroed()?;
        Some(PhysFrame::containing_address(PhysAddr::new_truncate(mfn.addr().0)))
    }
}

/// Builds the final tables and switches this CPU to them.
///
/// # Errors
/// [`MapError::OutOfFrames`], mostly.
///
/// # Safety
/// Once, on the boot CPU, on the tables of the entry code; `map` names all memory that is used from now on.
pub unsafe fn init(map: &MemoryMap) -> Result<(), MapError> {
    let root = phys::alloc_zeroed().ok_or(MapError::OutOfFrames)?;
    // SAFETY: a zeroed frame of ours, reachable through the direct map, for good.
    let root_table = unsafe { &mut *direct::pointer(root.addr()).cast::<PageTable>() };
    // SAFETY: page-table frames come from RAM, which the direct map covers at this distance.
    let mut tables = unsafe { OffsetPageTable::new(root_table, VirtAddr::new_truncate(direct::DIRECT_BASE)) };

    map_direct(&mut tables, map)?;
    for (range, access) in image::parts() {
        let flags = match access {
            Access::ReadOnly => no_execute(),
            Access::Execute => Flags::empty(),
            Access::Write => no_execute() | Flags::WRITABLE,
        };
        // SAFETY: the image where it is linked, as now, with fewer rights.
        unsafe {
            map_run(&mut tables, range.start, image::maddr(range.start), range.end - range.start, flags)?
        };
    }
    *TABLES.lock() = Some(tables);
    ROOT.call_once(|| root.addr());
    // SAFETY: code, data and this stack are in the image and stay where they are.
    unsafe { enter() };
    Ok(())
}

/// Switches the CPU that runs this to the hypervisor's tables.
///
/// # Safety
/// Code, data and stack are where these tables have them.
pub unsafe fn enter() {
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(root().0));
    // SAFETY: the caller's promise.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

/// The physical address of the top table; zero before there is one.
pub fn root() -> Maddr {
    ROOT.get().copied().unwrap_or(Maddr(0))
}

/// Maps `len` bytes of physical memory at a virtual address, all of them page-aligned.
///
/// # Errors
/// See [`MapError`]; what was mapped until then stays.
///
/// # Safety
/// The virtual range is the caller's to use, and mapping this memory with these flags harms nobody.
pub unsafe fn map(at: u64, to: Maddr, len: u64, flags: Flags) -> Result<(), MapError> {
    let mut tables = TABLES.lock();
    let tables = tables.as_mut().ok_or(MapError::Invalid)?;
    // SAFETY: the caller's promise.
    unsafe { map_run(tables, at, to, len, flags) }
}

/// The flag that forbids execution, where the CPU has it.
pub fn no_execute() -> Flags {
    if features().nx { Flags::NO_EXECUTE } else { Flags::empty() }
}

/// Maps all memory of `map` into the direct map, the image's constant parts read-only.
fn map_direct(tables: &mut OffsetPageTable<'static>, map: &MemoryMap) -> Result<(), MapError> {
    let parts = image::parts().map(|(r, a)| (image::maddr(r.start).0..image::maddr(r.end).0, a));
    let mut ranges = map
        .ranges()
        .iter()
        .filter(|range| !matches!(range.kind, Kind::Reserved | Kind::Unusable))
        .map(|range| range.start.0 / PAGE * PAGE..range.end.0.next_multiple_of(PAGE))
        .peekable();
    while let Some(mut run) = ranges.next() {
        // Neighbouring ranges of different kinds share large pages, so they are mapped as one.
        while let Some(next) = ranges.next_if(|next| next.start <= run.end) {
            run.end = run.end.max(next.end);
        }
        let mut at = run.start;
        for (part, access) in parts.iter().filter(|(part, _)| part.start < run.end && part.end > run.start) {
            map_direct_run(tables, at..part.start.max(at), Flags::WRITABLE)?;
            let flags = if *access == Access::Write { Flags::WRITABLE } else { Flags::empty() };
            map_direct_run(tables, part.start.max(at)..part.end, flags)?;
            at = part.end;
        }
        map_direct_run(tables, at..run.end.max(at), Flags::WRITABLE)?;
    }
    Ok(())
}

fn map_direct_run(
    tables: &mut OffsetPageTable<'static>,
    run: Range<u64>,
    flags: Flags,
) -> Result<(), MapError> {
    if run.end > direct::DIRECT_SIZE {
        return Err(MapError::Invalid);
    }
    let len = run.end.saturating_sub(run.start);
    // SAFETY: the direct map's own area; RAM, not executable, constants of the image not writable.
    unsafe { map_run(tables, direct::DIRECT_BASE + run.start, Maddr(run.start), len, flags | no_execute()) }
}

/// Maps a run with the largest pages that fit.
///
/// # Safety
/// As [`map`].
unsafe fn map_run(
    tables: &mut OffsetPageTable<'static>,
    at: u64,
    to: Maddr,
    len: u64,
    flags: Flags,
) -> Result<(), MapError> {
    let mut done = 0;
    while done < len {
        let (virt, phys, left) = (at + done, to.0 + done, len - done);
        let fits = |size: u64| (virt | phys).is_multiple_of(size) && left >= size;
        // SAFETY: the caller's promise, for each page.
        done += unsafe {
            if features().gib_pages && fits(Size1GiB::SIZE) {
                map_page::<Size1GiB>(tables, virt, phys, flags)?
            } else if fits(Size2MiB::SIZE) {
                map_page::<Size2MiB>(tables, virt, phys, flags)?
            } else {
                map_page::<Size4KiB>(tables, virt, phys, flags)?
            }
        };
    }
    Ok(())
}

/// # Safety
/// As [`map`].
unsafe fn map_page<S: PageSize + core::fmt::Debug>(
    tables: &mut OffsetPageTable<'static>,
    virt: u64,
    phys: u64,
    flags: Flags,
) -> Result<u64, MapError>
where
    OffsetPageTable<'static>: Mapper<S>,
{
    let page = VirtAddr::try_new(virt).ok().and_then(|v| Page::<S>::from_start_address(v).ok());
    let frame = PhysAddr::try_new(phys).ok().and_then(|p| PhysFrame::<S>::from_start_address(p).ok());
    let (page, frame) = page.zip(frame).ok_or(MapError::Invalid)?;
    let parents = Flags::PRESENT | Flags::WRITABLE;
    // SAFETY: the caller's promise.
    let flush = unsafe {
        tables.map_to_with_table_flags(page, frame, flags | Flags::PRESENT, parents, &mut TableFrames)?
    };
    // Nothing was mapped there before, so no CPU can have cached it.
    flush.ignore();
    Ok(S::SIZE)
}

//! Physical memory: who may have which frame.
//!
//! Early on, frames come from the top of the RAM below 4 GiB by way of the memory map itself, and are not returned.
//! [`init_table`] then makes the frame table of the core out of what is left, and everything comes from there.
//!
//! Locks: `EARLY` is a leaf and unused once the table is there; the table has its own.
#![allow(unsafe_code, reason = "gives frames to their owners as memory")]

use core::ptr;

use spin::Once;
use tenon_core::frame::{Maddr, Mfn, PAGE_SHIFT, PAGE_SIZE};
use tenon_core::frames::{FrameKind, FrameSlot, FrameTable, MAX_ORDER, Zone};
use tenon_core::memory_map::{Kind, MemoryMap, Range};
use tenon_core::sync::{Class, Lock};

use super::direct;

/// Early memory is mapped up to here.
const EARLY_END: u64 = 1 << 32;

static EARLY: Lock<Option<MemoryMap>> = Lock::new(Class::Frames, None);
static TABLE: Once<FrameTable> = Once::new();

/// Starts the early allocator on a map in which everything in use is marked so.
pub fn init_early(map: &MemoryMap) {
    *EARLY.lock() = Some(map.clone());
}

/// Allocates `1 << order` frames for the hypervisor, naturally aligned. The contents are what was there.
#[must_use]
pub fn alloc(order: u32, zone: Zone) -> Option<Mfn> {
    match TABLE.get() {
        Some(table) => table.alloc_hypervisor(order, zone).ok(),
        None if order <= MAX_ORDER => {
            let len = (PAGE_SIZE as u64) << order;
            alloc_early(len, len, EARLY_END).map(Maddr::frame)
        }
        None => None,
    }
}

/// Allocates one zeroed frame for the hypervisor.
#[must_use]
pub fn alloc_zeroed() -> Option<Mfn> {
    let mfn = alloc(0, Zone::Any)?;
    // SAFETY: the frame is ours alone, and RAM is in the direct map.
    unsafe { ptr::write_bytes(direct::pointer(mfn.addr()), 0, PAGE_SIZE) };
    Some(mfn)
}

/// Returns what [`alloc()`] gave.
///
/// # Safety
/// Nobody uses the frames any more.
pub unsafe fn free(mfn: Mfn, order: u32) {
    if let Some(table) = TABLE.get() {
        match table.kind(mfn) {
            // Allocated before there was a table.
            Some(FrameKind::Reserved) => table.add_free(mfn, 1 << order),
            _ => table.free_hypervisor(mfn, order),
        }
    }
}

/// The table of all frames, once [`init_table`] has run.
pub fn table() -> Option<&'static FrameTable> {
    TABLE.get()
}

fn alloc_early(len: u64, align: u64, end: u64) -> Option<Maddr> {
    let mut early = EARLY.lock();
    let map = early.as_mut()?;
    let at = map.find_highest(len, align, 0..end)?;
    map.insert(Range::new(at.0, len, Kind::Hypervisor)).ok()?;
    Some(at)
}

/// Makes the frame table and gives it all RAM that is not in use. Returns the map as it is then: what is marked
/// RAM belongs to the table now.
///
/// # Errors
/// Says what was missing.
pub fn init_table() -> Result<MemoryMap, &'static str> {
    let end = EARLY.lock().as_ref().ok_or("the memory map is not known")?.memory_end();
    let frames = end.0.div_ceil(PAGE_SIZE as u64) as usize;
    let bytes = (frames * size_of::<FrameSlot>()).next_multiple_of(PAGE_SIZE);
    // The direct map covers all RAM by now. No need for natural alignment: this is one block for good.
    let at = alloc_early(bytes as u64, PAGE_SIZE as u64, u64::MAX).ok_or("no room for the frame table")?;
    let pointer = direct::pointer(at);
    // SAFETY: just allocated, mapped, page-aligned; zero is a valid slot (reserved).
    let slots: &'static [FrameSlot] = unsafe {
        ptr::write_bytes(pointer, 0, bytes);
        core::slice::from_raw_parts(pointer.cast::<FrameSlot>(), frames)
    };
    let table = FrameTable::new(slots).ok_or("no heap for the frame table")?;
    // From here on nothing may allocate until the table is in place: the early map is closed.
    let map = EARLY.lock().take().ok_or("the memory map is not known")?;
    for ram in map.of_kind(Kind::Ram) {
        table.add_free(Mfn(ram.start.0 >> PAGE_SHIFT), ram.len() >> PAGE_SHIFT);
    }
    TABLE.call_once(|| table);
    Ok(map)
}

//! Runs of frames that hold bytes: boot modules moved out of the way.
#![allow(unsafe_code, reason = "views of frames in the direct map; gives the modules' memory away")]

use core::ptr;

use tenon_core::frame::{Maddr, Mfn, PAGE_SHIFT, PAGE_SIZE};
use tenon_core::frames::Zone;
use tenon_core::memory_map::{Kind, MemoryMap};

use super::{direct, phys};

/// Bytes in frames of their own, which go back when this is dropped.
pub struct FrameRun {
    start: Mfn,
    order: u32,
    len: usize,
}

impl FrameRun {
    /// A copy of `len` bytes at `from`; `None` if there is no run of frames that large.
    pub fn copy_of(from: Maddr, len: usize) -> Option<Self> {
        let order = len.div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros();
        let start = phys::alloc(order, Zone::Any)?;
        // SAFETY: the module is RAM that nobody writes; the new frames are ours alone; both are in the direct map.
        unsafe { ptr::copy_nonoverlapping(direct::pointer(from), direct::pointer(start.addr()), len) };
        Some(Self { start, order, len })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are this run's, filled by `copy_of`, and not written again.
        unsafe { direct::slice(self.start.addr(), self.len) }
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        // SAFETY: the frames are this run's, and no borrow of its bytes is left.
        unsafe { phys::free(self.start, self.order) };
    }
}

/// Gives the memory of the boot modules, and of what else the loader left, to the frame table. Everything in it that is
/// still needed has been copied.
pub fn release_modules(usage: &MemoryMap) {
    for range in usage.of_kind(Kind::Module) {
        let frames = Mfn(range.start.0 >> PAGE_SHIFT)..Mfn(range.end.0 >> PAGE_SHIFT);
        // SAFETY: RAM that the map marks as the modules', whole pages, on no list; its users are done with it.
        unsafe { phys::release(frames) };
    }
}

//! Memory for the tests' own data: a fixed heap, and whole pages that the hypervisor is told about.
#![allow(unsafe_code, reason = "the heap's memory is handed over once")]

use core::cell::UnsafeCell;

use linked_list_allocator::LockedHeap;

const SIZE: usize = 1 << 20;

#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; SIZE]>);

// SAFETY: only the allocator touches it, behind its lock.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; SIZE]));

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();

/// Gives the allocator its memory; once, before anything is allocated.
pub fn init() {
    // SAFETY: nobody else uses the arena, and this is called once, by the entry.
    unsafe { HEAP.lock().init(ARENA.0.get().cast(), SIZE) }
}

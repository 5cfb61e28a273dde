//! The heap: slabs of equal objects for what is small, runs of frames for the rest.
//!
//! A slab is a naturally aligned run of frames that starts with its [`Slab`] header; an object's slab is found by
//! masking its address, and the size class by the layout. Slabs with free objects are on their class's list; an
//! empty one goes back to the frame allocator unless it is the list's only one.
//!
//! Locks: one per size class, taken by no interrupt handler; the frame allocator's lock is taken under it.
#![allow(unsafe_code, reason = "implements GlobalAlloc")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use tenon_core::frame::{PAGE_SHIFT, PAGE_SIZE};
use tenon_core::frames::Zone;
use tenon_core::sync::{Class, Lock};

use super::{direct, phys};

/// log2 of the smallest and the largest object that slabs serve.
const MIN_SHIFT: u32 = 4;
const MAX_SHIFT: u32 = 11;
const CLASSES: usize = (MAX_SHIFT - MIN_SHIFT + 1) as usize;

struct Slab {
    next: *mut Slab,
    prev: *mut Slab,
    free: *mut FreeObject,
    used: u32,
}

struct FreeObject {
    next: *mut FreeObject,
}

/// The slabs of one size that have free objects. `shift`, as its methods take it, is log2 of that size.
struct SizeClass {
    head: *mut Slab,
}

// SAFETY: the pointers lead to slabs that only the holder of the class's lock touches.
unsafe impl Send for SizeClass {}

struct Heap {
    classes: [Lock<SizeClass>; CLASSES],
}

#[global_allocator]
static HEAP: Heap =
    Heap { classes: [const { Lock::new(Class::Heap, SizeClass { head: ptr::null_mut() }) }; CLASSES] };

/// log2 of the object that holds this layout.
fn shift_for(layout: Layout) -> u32 {
    let size = layout.size().max(layout.align()).max(1 << MIN_SHIFT);
    size.checked_next_power_of_two().map_or(usize::BITS, usize::trailing_zeros)
}

/// log2 of the frames in a slab: the header and the rounding cost at most a seventh.
fn slab_order(shift: u32) -> u32 {
    if shift >= 9 { 2 } else { 0 }
}

impl SizeClass {
    fn alloc(&mut self, shift: u32) -> *mut u8 {
        if self.head.is_null() && !self.grow(shift) {
            return ptr::null_mut();
        }
        // SAFETY: the list holds live slabs that have at least one free object; the lock makes them ours.
        unsafe {
            let slab = self.head;
            let object = (*slab).free;
            (*slab).free = (*object).next;
            (*slab).used += 1;
            if (*slab).free.is_null() {
                self.unlink(slab);
            }
            object.cast()
        }
    }

    /// # Safety
    /// `object` came from [`alloc`](Self::alloc) of this class and is not used any more.
    unsafe fn free(&mut self, object: *mut u8, shift: u32) {
        let order = slab_order(shift);
        let slab = object.map_addr(|at| at & !((PAGE_SIZE << order) - 1)).cast::<Slab>();
        // SAFETY: an object's slab starts at the mask of its address and lives as long as the object.
        unsafe {
            let was_full = (*slab).free.is_null();
            let object = object.cast::<FreeObject>();
            object.write(FreeObject { next: (*slab).free });
            (*slab).free = object;
            (*slab).used -= 1;
            if was_full {
                self.link(slab);
            }
            let only = (*slab).next.is_null() && (*slab).prev.is_null();
            if (*slab).used == 0 && !only {
                self.unlink(slab);
                phys::free(direct::maddr_of(slab.cast()).frame(), order);
            }
        }
    }

    /// Adds a slab.
    fn grow(&mut self, shift: u32) -> bool {
        let order = slab_order(shift);
        let Some(mfn) = phys::alloc(order, Zone::Any) else { return false };
        let base = direct::pointer(mfn.addr());
        let size = 1usize << shift;
        let first = size_of::<Slab>().next_multiple_of(size);
        let mut free = ptr::null_mut();
        // SAFETY: the frames are ours; every object lies inside them, past the header, aligned to its size.
        unsafe {
            for offset in (first..PAGE_SIZE << order).step_by(size).rev() {
                let object = base.add(offset).cast::<FreeObject>();
                object.write(FreeObject { next: free });
                free = object;
            }
            let slab = base.cast::<Slab>();
            slab.write(Slab { next: ptr::null_mut(), prev: ptr::null_mut(), free, used: 0 });
            self.link(slab);
        }
        true
    }

    /// # Safety
    /// `slab` is a live slab of this class and not on the list.
    unsafe fn link(&mut self, slab: *mut Slab) {
        // SAFETY: the caller's promise, and the list holds live slabs only.
        unsafe {
            (*slab).prev = ptr::null_mut();
            (*slab).next = self.head;
            if !self.head.is_null() {
                (*self.head).prev = slab;
            }
        }
        self.head = slab;
    }

    /// # Safety
    /// `slab` is on the list.
    unsafe fn unlink(&mut self, slab: *mut Slab) {
        // SAFETY: the caller's promise, and the list holds live slabs only.
        unsafe {
            let (prev, next) = ((*slab).prev, (*slab).next);
            if prev.is_null() {
                self.head = next;
            } else {
                (*prev).next = next;
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
            (*slab).prev = ptr::null_mut();
            (*slab).next = ptr::null_mut();
        }
    }
}

/// log2 of the frames that an object of `1 << shift` bytes takes by itself.
fn run_order(shift: u32) -> u32 {
    shift.saturating_sub(PAGE_SHIFT)
}

// SAFETY: objects of a slab are disjoint, live and aligned to their power-of-two size, and so are runs of frames.
// Classes are locked; nothing here panics.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let shift = shift_for(layout);
        match self.classes.get((shift - MIN_SHIFT) as usize) {
            Some(class) => class.lock().alloc(shift),
            None => phys::alloc(run_order(shift), Zone::Any)
                .map_or(ptr::null_mut(), |mfn| direct::pointer(mfn.addr())),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let shift = shift_for(layout);
        match self.classes.get((shift - MIN_SHIFT) as usize) {
            // SAFETY: the layout is the one it was allocated with, so the class is right.
            Some(class) => unsafe { class.lock().free(pointer, shift) },
            // SAFETY: the run was allocated by `alloc` with the same layout.
            None => unsafe { phys::free(direct::maddr_of(pointer).frame(), run_order(shift)) },
        }
    }
}

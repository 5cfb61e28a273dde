//! Memory that may be handed to a hypercall: always present, never moved, shared with nobody.
//!
//! It comes from `/dev/xen/hypercall`, whose pages the kernel keeps in place, at most 64 of them per open file.
#![allow(unsafe_code, reason = "mmap, and views of what it returned")]

use std::ffi::c_void;
use std::fs::File;
use std::{io, ptr::NonNull, slice};

use hypercall_abi::Plain;
use hypercall_abi::abi::Handle64;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::builder::layout::PAGE;

/// A run of pages for hypercall arguments.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: `Pages` owns its mapping alone, as a `Box<[u8]>` owns its memory.
unsafe impl Send for Pages {}

impl Pages {
    /// At least `bytes` bytes, all zero.
    ///
    /// # Errors
    /// What opening `device` or mapping it says.
    pub fn new(device: &File, bytes: usize) -> io::Result<Self> {
        let len = bytes.max(1).next_multiple_of(PAGE as usize);
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { mmap(std::ptr::null_mut(), len, protection, flags, device, 0)? };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Self { start, len })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are mapped, initialized and ours until `drop`; hypercalls write to
        // them only during calls that borrow `self` exclusively.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, to be filled in.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Puts a value at the start.
    pub fn put<T: Plain>(&mut self, value: &T) {
        let bytes = value.as_bytes();
        self.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    }

    /// The value at the start. `T` fits because it was put there, or the pages were made for it.
    #[must_use]
    pub fn get<T: Plain>(&self) -> T {
        T::read_from(self.bytes()).unwrap_or_else(T::zeroed)
    }

    /// What a hypercall is told.
    #[must_use]
    pub fn handle(&mut self) -> Handle64 {
        Handle64::from_raw(self.start.as_ptr().expose_provenance() as u64)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, and no borrow of it is left.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

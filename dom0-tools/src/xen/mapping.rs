//! Another domain's memory, mapped into this process.
//!
//! The other domain may write to it at any time, so no Rust reference into it exists: bytes are copied in and
//! out, and shared words are atomics.
#![allow(unsafe_code, reason = "mmap, and copies to and from memory that another domain shares")]

use std::ffi::c_void;
use std::fs::File;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::error::XenError;
use super::privcmd::{MmapBatch, MmapResource, Privcmd};
use crate::builder::layout::PAGE;

/// Memory shared with somebody who may write anything to it.
pub trait SharedPage {
    /// The word at `offset`.
    fn word(&self, offset: usize) -> &AtomicU32;
    /// Copies out.
    fn read(&self, offset: usize, bytes: &mut [u8]);
    /// Copies in.
    fn write(&self, offset: usize, bytes: &[u8]);
}

/// Mapped foreign pages.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; access is by copies and atomics.
unsafe impl Send for Mapping {}

impl Mapping {
    fn reserve(privcmd: &Privcmd, pages: usize, call: &'static str) -> Result<Self, XenError> {
        Self::of_device(privcmd.mapping_device(), pages, 0, call)
    }

    /// Maps `pages` pages of a device file from `offset` (in bytes) on, readable and writable.
    pub(crate) fn of_device(
        device: &File,
        pages: usize,
        offset: u64,
        call: &'static str,
    ) -> Result<Self, XenError> {
        let len = pages.max(1) * PAGE as usize;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, device, offset) }
            .map_err(|e| XenError::new(call, e))?;
        match NonNull::new(start.cast()) {
            Some(start) => Ok(Self { start, len }),
            None => Err(XenError::new(call, std::io::Error::other("mmap returned null"))),
        }
    }

    /// Maps the guest frames `gfns` of `domain`, in their order, readable and writable.
    ///
    /// # Errors
    /// If the kernel or the hypervisor refuses one of them.
    pub fn foreign(privcmd: &Privcmd, domain: u16, gfns: &[u64]) -> Result<Self, XenError> {
        const CALL: &str = "map guest memory";
        let mapping = Self::reserve(privcmd, gfns.len(), CALL)?;
        let mut errors = vec![0; gfns.len()];
        let mut batch = MmapBatch {
            num: u32::try_from(gfns.len()).map_err(|e| XenError::new(CALL, std::io::Error::other(e)))?,
            dom: domain,
            addr: mapping.start.as_ptr().expose_provenance() as u64,
            arr: gfns.as_ptr(),
            err: errors.as_mut_ptr(),
        };
        // SAFETY: `addr` is a mapping of the device, `gfns.len()` pages long; `arr` and `err` have as many items.
        unsafe { privcmd.mmap_batch(&mut batch) }.map_err(|e| XenError::new(CALL, e))?;
        match errors.iter().find(|e| **e != 0) {
            None => Ok(mapping),
            Some(e) => Err(XenError::new(CALL, std::io::Error::from_raw_os_error(-e))),
        }
    }

    /// Maps `pages` pages of a resource (`XENMEM_acquire_resource`) of `domain`.
    ///
    /// # Errors
    /// If the kernel or the hypervisor refuses.
    pub fn resource(
        privcmd: &Privcmd,
        domain: u16,
        kind: u32,
        id: u32,
        pages: usize,
    ) -> Result<Self, XenError> {
        const CALL: &str = "acquire resource";
        let mapping = Self::reserve(privcmd, pages, CALL)?;
        let addr = mapping.start.as_ptr().expose_provenance() as u64;
        let mut resource = MmapResource { dom: domain, kind, id, idx: 0, num: pages as u64, addr };
        // SAFETY: `addr` is a mapping of the device, `pages` pages long.
        unsafe { privcmd.mmap_resource(&mut resource) }.map_err(|e| XenError::new(CALL, e))?;
        Ok(mapping)
    }

    /// Bytes mapped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is mapped; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of `count` bytes at `offset`.
    ///
    /// # Panics
    /// If they are not all in the mapping: callers compute offsets from their own layouts.
    fn at(&self, offset: usize, count: usize) -> *mut u8 {
        assert!(offset.checked_add(count).is_some_and(|end| end <= self.len), "outside the mapping");
        // SAFETY: the assertion keeps the offset inside the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: `at` checked the range; `bytes` is private memory, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Copies from `offset` to `bytes`.
    ///
    /// # Panics
    /// If the mapping ends before `bytes` is full.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        let from = self.at(offset, bytes.len());
        // SAFETY: `at` checked the range; `bytes` is private memory, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// The shared word at `offset`, which is a multiple of 4.
    ///
    /// # Panics
    /// If `offset` is not aligned or outside the mapping.
    #[must_use]
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "an unaligned word");
        let word = self.at(offset, 4);
        // SAFETY: aligned, inside the mapping, and valid as long as `self` is borrowed.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }
}

impl SharedPage for Mapping {
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.word(offset)
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.read(offset, bytes);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.write(offset, bytes);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `reserve`, and no borrow of it is left.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

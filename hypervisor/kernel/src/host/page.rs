//! The bytes of a domain's frame, through the direct map.
//!
//! The guest may change the page at any moment, on any CPU, so no Rust reference into it is ever formed: words are
//! accessed atomically through raw pointers, byte ranges by a copy instruction that the compiler does not look into.
#![allow(unsafe_code, reason = "raw access to guest frames")]

use core::arch::asm;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tenon_core::frame::PAGE_SIZE;
use tenon_core::frames::{FrameRef, Frames};
use tenon_core::page::GuestPage;

use crate::mm::direct;

/// One frame, for as long as the reference that it was made from lives.
#[derive(Clone, Copy)]
pub struct DirectPage<'a> {
    base: *mut u8,
    frame: PhantomData<&'a ()>,
}

// SAFETY: all access is atomic or by copies that tolerate concurrent change.
unsafe impl Send for DirectPage<'_> {}
// SAFETY: as above.
unsafe impl Sync for DirectPage<'_> {}

impl<'a> DirectPage<'a> {
    /// The view of a frame. RAM is in the direct map, writable, except the hypervisor's image, which no domain owns.
    #[inline]
    pub fn of<M: Frames>(frame: &'a FrameRef<M>) -> Self {
        Self { base: direct::pointer(frame.mfn().addr()), frame: PhantomData }
    }

    #[inline]
    fn at(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= PAGE_SIZE);
        debug_assert!(inside, "access past a page's end");
        inside.then(|| self.base.wrapping_add(offset))
    }

    #[inline]
    fn word32(&self, offset: usize) -> Option<&AtomicU32> {
        let at = self.at(offset, 4).filter(|_| offset.is_multiple_of(4))?;
        // SAFETY: in the page, aligned, mapped for as long as the frame is held; an atomic may change under us.
        Some(unsafe { AtomicU32::from_ptr(at.cast()) })
    }

    #[inline]
    fn word64(&self, offset: usize) -> Option<&AtomicU64> {
        let at = self.at(offset, 8).filter(|_| offset.is_multiple_of(8))?;
        // SAFETY: as in `word32`.
        Some(unsafe { AtomicU64::from_ptr(at.cast()) })
    }

    /// Fills the page with zeros.
    pub fn scrub(&self) {
        // SAFETY: the whole page is mapped and the frame is held. Direction is forward (the ABI).
        unsafe {
            asm!("rep stosq", inout("rdi") self.base => _, inout("rcx") PAGE_SIZE / 8 => _, in("rax") 0,
                 options(nostack, preserves_flags));
        }
    }

    /// Copies bytes to another page.
    pub fn copy_to(&self, offset: usize, to: &DirectPage<'_>, to_offset: usize, len: usize) {
        if let (Some(from), Some(to)) = (self.at(offset, len), to.at(to_offset, len)) {
            // SAFETY: both ranges are inside pages that are held.
            unsafe { copy(to, from, len) };
        }
    }
}

/// Copies bytes that others may change meanwhile: words first, then the rest.
///
/// # Safety
/// Both ranges are mapped, and writing `to` breaks no Rust reference.
#[inline]
unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's promise; direction is forward (the ABI).
    unsafe {
        // A port's number, most often.
        if len == 4 {
            asm!("mov {word:e}, [{from}]", "mov [{to}], {word:e}", word = out(reg) _, from = in(reg) from, to = in(reg) to,
                 options(nostack, preserves_flags));
            return;
        }
        asm!(
            "rep movsq",
            "mov ecx, edx",
            "rep movsb",
            inout("rdi") to => _, inout("rsi") from => _, inout("rcx") len / 8 => _, in("edx") len % 8,
            options(nostack, preserves_flags)
        );
    }
}

impl GuestPage for DirectPage<'_> {
    #[inline]
    fn load32(&self, offset: usize) -> u32 {
        self.word32(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }
    #[inline]
    fn store32(&self, offset: usize, value: u32) {
        if let Some(word) = self.word32(offset) {
            word.store(value, Ordering::Release);
        }
    }
    #[inline]
    fn compare_exchange32(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32> {
        match self.word32(offset) {
            Some(word) => word.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire),
            None => Err(0),
        }
    }
    #[inline]
    fn fetch_or32(&self, offset: usize, bits: u32) -> u32 {
        self.word32(offset).map_or(0, |word| word.fetch_or(bits, Ordering::AcqRel))
    }
    #[inline]
    fn fetch_and32(&self, offset: usize, bits: u32) -> u32 {
        self.word32(offset).map_or(0, |word| word.fetch_and(bits, Ordering::AcqRel))
    }
    #[inline]
    fn load64(&self, offset: usize) -> u64 {
        self.word64(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }
    #[inline]
    fn store64(&self, offset: usize, value: u64) {
        if let Some(word) = self.word64(offset) {
            word.store(value, Ordering::Release);
        }
    }
    #[inline]
    fn read(&self, offset: usize, into: &mut [u8]) {
        match self.at(offset, into.len()) {
            // SAFETY: in the page; `into` is exclusively borrowed and does not overlap guest frames.
            Some(from) => unsafe { copy(into.as_mut_ptr(), from, into.len()) },
            None => into.fill(0),
        }
    }
    #[inline]
    fn write(&self, offset: usize, from: &[u8]) {
        if let Some(to) = self.at(offset, from.len()) {
            // SAFETY: in the page, which holds no Rust object.
            unsafe { copy(to, from.as_ptr(), from.len()) };
        }
    }
}

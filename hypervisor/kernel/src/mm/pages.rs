//! Values in frames of their own, for what the hardware finds by machine address.
//!
//! A [`Box`] is enough for that: the heap gives what is aligned to a page a run of frames, in the direct map.

#![allow(unsafe_code, reason = "makes values of zero bytes")]

use alloc::alloc::alloc_zeroed;
use alloc::boxed::Box;
use core::alloc::Layout;

use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;

use super::direct;

/// A value in whole pages.
///
/// # Safety
/// All-zero bytes are a valid value, it is aligned to a page, and it is not empty.
pub unsafe trait PageAligned: Sized {}

/// Bytes that start on a page.
#[repr(C, align(4096))]
pub struct Pages<const N: usize>(pub [u8; N]);

// SAFETY: bytes may be zero, and the alignment is a page's; of no bytes there is no user.
unsafe impl<const N: usize> PageAligned for Pages<N> {}

/// Allocates a value with all bytes zero.
pub fn zeroed<T: PageAligned>() -> Result<Box<T>, NoMemory> {
    // SAFETY: `T` is not empty. The memory that comes is for a `T`, for which zero bytes are a valid value.
    unsafe {
        let pointer = alloc_zeroed(Layout::new::<T>()).cast::<T>();
        if pointer.is_null() { Err(NoMemory) } else { Ok(Box::from_raw(pointer)) }
    }
}

/// Where the hardware finds the value. From now on it may write there whenever it is told to.
#[inline]
pub fn maddr<T: PageAligned>(value: &mut T) -> Maddr {
    direct::maddr_of((&raw mut *value).cast())
}

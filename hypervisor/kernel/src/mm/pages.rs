//! Values in frames of their own, for what the hardware finds by machine address.
//!
//! A [`Box`] is enough for that: the heap gives what is aligned to a page a run of frames, in the direct map.

#![allow(unsafe_code, reason = "makes values of zero bytes")]

use alloc::alloc::alloc_zeroed;
use alloc::boxed::Box;
use core::alloc::Layout;

use tenon_core::fallible::NoMemory;
use tenon_core::frame::{Maddr, PAGE_SIZE};

use super::direct;

/// All-zero bytes are a valid value.
///
/// # Safety
/// As the sentence above says.
pub unsafe trait ZeroValid: Sized {}

/// Bytes that start on a page.
#[repr(C, align(4096))]
pub struct Pages<const N: usize>(pub [u8; N]);

// SAFETY: bytes may be zero.
unsafe impl<const N: usize> ZeroValid for Pages<N> {}

/// Allocates a value with all bytes zero, in frames of its own.
pub fn zeroed<T: ZeroValid>() -> Result<Box<T>, NoMemory> {
    const { assert!(size_of::<T>() > 0 && align_of::<T>() == PAGE_SIZE) };
    // SAFETY: `T` is not empty. The memory that comes is for a `T`, for which zero bytes are a valid value.
    unsafe {
        let pointer = alloc_zeroed(Layout::new::<T>()).cast::<T>();
        if pointer.is_null() { Err(NoMemory) } else { Ok(Box::from_raw(pointer)) }
    }
}

/// Where the hardware finds the value. From now on it may write there whenever it is told to.
#[inline]
pub fn maddr<T: ZeroValid>(value: &mut Box<T>) -> Maddr {
    direct::maddr_of((&raw mut **value).cast())
}

/// Gives the value to the hardware for good; returns where it finds it.
pub fn give<T: ZeroValid>(mut value: Box<T>) -> Maddr {
    let at = maddr(&mut value);
    Box::leak(value);
    at
}

//! An owned value in frames of its own, for what the hardware finds by machine address.

#![allow(unsafe_code, reason = "a typed view of frames in the direct map")]

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use tenon_core::fallible::NoMemory;
use tenon_core::frame::{Maddr, Mfn, PAGE_SIZE};
use tenon_core::frames::Zone;

use super::{direct, phys};

/// A `T` that starts on a page and fills whole frames, which go back when it is dropped.
///
/// `T` must be valid when all its bytes are zero, which the types here (byte arrays, VMCB) are: see
/// [`zeroed`](Self::zeroed).
pub struct PageBox<T: ZeroValid> {
    ptr: NonNull<T>,
    mfn: Mfn,
}

/// All-zero bytes are a valid value, and dropping it does nothing.
///
/// # Safety
/// As the sentence above says, and `align_of::<Self>() <= 4096`.
pub unsafe trait ZeroValid {}

/// Bytes that start on a page.
#[repr(C, align(4096))]
pub struct Pages<const N: usize>(pub [u8; N]);

// SAFETY: bytes may be zero; the alignment is a page's.
unsafe impl<const N: usize> ZeroValid for Pages<N> {}

// SAFETY: the box owns its frames as `Box` does.
unsafe impl<T: ZeroValid + Send> Send for PageBox<T> {}
// SAFETY: as above.
unsafe impl<T: ZeroValid + Sync> Sync for PageBox<T> {}

impl<T: ZeroValid> PageBox<T> {
    const ORDER: u32 = size_of::<T>().div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros();

    /// Allocates the value with all bytes zero.
    pub fn zeroed() -> Result<Self, NoMemory> {
        let mfn = phys::alloc(Self::ORDER, Zone::Any).ok_or(NoMemory)?;
        let ptr = NonNull::new(direct::pointer(mfn.addr()).cast::<T>()).ok_or(NoMemory)?;
        // SAFETY: the frames were just allocated for Tenon and are mapped writable in the direct map; nobody else
        // has a pointer to them.
        unsafe { ptr.cast::<u8>().write_bytes(0, PAGE_SIZE << Self::ORDER) };
        Ok(Self { ptr, mfn })
    }

    /// Where the hardware finds it.
    pub fn maddr(&self) -> Maddr {
        self.mfn.addr()
    }
}

impl<T: ZeroValid> Deref for PageBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the frames are owned by `self`, were zeroed, and zero bytes are a valid `T`.
        unsafe { self.ptr.as_ref() }
    }
}

impl<T: ZeroValid> DerefMut for PageBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and `self` is exclusively borrowed.
        unsafe { self.ptr.as_mut() }
    }
}

impl<T: ZeroValid> Drop for PageBox<T> {
    fn drop(&mut self) {
        // SAFETY: the frames are this box's alone, and it is gone.
        unsafe { phys::free(self.mfn, Self::ORDER) };
    }
}

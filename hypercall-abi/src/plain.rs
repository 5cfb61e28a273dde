//! Values that are nothing but their bytes.
//!
//! Invariant: a [`Plain`] type has no padding and accepts every bit pattern, so it may come from and go to
//! memory that somebody else writes. This is the crate's only module with hand-written unsafe code; the layout
//! macros check what they implement the trait for.
#![allow(unsafe_code, reason = "byte views of values; soundness rests on the contract of `Plain` alone")]

use core::fmt::Debug;
use core::{mem, ptr, slice};

/// A type without padding for which every bit pattern is a value.
///
/// # Safety
/// `Self` has no padding bytes, no invalid bit patterns, no interior mutability and no pointers.
pub unsafe trait Plain: Copy + Debug + Eq + 'static {
    /// The value whose bytes are all zero.
    #[must_use]
    fn zeroed() -> Self {
        // SAFETY: every bit pattern is a value of a `Plain` type, so all-zero is.
        unsafe { mem::zeroed() }
    }

    /// The value's bytes.
    #[must_use]
    fn as_bytes(&self) -> &[u8] {
        bytes_of(slice::from_ref(self))
    }

    /// The value's bytes, to be filled in.
    #[must_use]
    fn as_bytes_mut(&mut self) -> &mut [u8] {
        bytes_of_mut(slice::from_mut(self))
    }

    /// The value that the first bytes of `bytes` hold (any alignment); `None` if there are too few.
    #[must_use]
    fn read_from(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..size_of::<Self>())?;
        // SAFETY: the slice holds `size_of::<Self>()` initialized bytes, every bit pattern is a value, and the
        // read asks for no alignment.
        Some(unsafe { ptr::read_unaligned(bytes.as_ptr().cast::<Self>()) })
    }
}

/// The bytes of a slice of plain values.
#[must_use]
pub fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: the values are initialized and have no padding, and the bytes live as long as the borrow.
    unsafe { slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }
}

/// The bytes of a slice of plain values, to be filled in.
#[must_use]
pub fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`; whatever is written leaves valid values, and the borrow is exclusive.
    unsafe { slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), size_of_val(values)) }
}

macro_rules! plain_integers {
    ($($t:ty)*) => {
        $(
            // SAFETY: an integer has no padding and no invalid bit pattern.
            unsafe impl Plain for $t {}
        )*
    };
}
plain_integers!(u8 u16 u32 u64 i8 i16 i32 i64);

// SAFETY: an array is its elements, one after the other, with nothing between.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The size of a type, which has to be plain. The layout macros add these up.
pub(crate) const fn plain_size<T: Plain>() -> usize {
    size_of::<T>()
}

/// The storage of a C union: `B` has the union's size and alignment, members are copied in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Union<B: Plain>(pub B);

// SAFETY: transparent over a plain type.
unsafe impl<B: Plain> Plain for Union<B> {}

impl<B: Plain> Default for Union<B> {
    fn default() -> Self {
        Self::zeroed()
    }
}

impl<B: Plain> Union<B> {
    /// A union that holds `member`, the remaining bytes zero.
    #[must_use]
    pub fn new<T: Plain>(member: T) -> Self {
        let mut storage = Self::zeroed();
        storage.set(member);
        storage
    }

    /// The union read as its member type `T`. A `T` larger than the union does not compile.
    #[must_use]
    pub fn get<T: Plain>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<B>(), "member larger than its union") };
        let mut member = T::zeroed();
        let bytes = &self.as_bytes()[..size_of::<T>()];
        member.as_bytes_mut().copy_from_slice(bytes);
        member
    }

    /// Makes the union hold `member`; the remaining bytes become zero.
    pub fn set<T: Plain>(&mut self, member: T) {
        const { assert!(size_of::<T>() <= size_of::<B>(), "member larger than its union") };
        *self = Self::zeroed();
        self.as_bytes_mut()[..size_of::<T>()].copy_from_slice(member.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_unaligned_and_refuses_short() {
        let bytes = [0xff, 1, 2, 3, 4];
        assert_eq!(u32::read_from(&bytes[1..]), Some(0x0403_0201));
        assert_eq!(u32::read_from(&bytes[2..]), None);
    }

    #[test]
    fn union_keeps_the_member_and_clears_the_rest() {
        let mut union: Union<[u64; 2]> = Union::new([u64::MAX; 2]);
        union.set(0x1234_u16);
        assert_eq!(union.get::<[u64; 2]>(), [0x1234, 0]);
        assert_eq!(union.get::<u16>(), 0x1234);
    }

    #[test]
    fn bytes_of_slices_go_both_ways() {
        let mut words = [0_u16; 2];
        bytes_of_mut(&mut words).copy_from_slice(&[1, 0, 2, 0]);
        assert_eq!(words, [1, 2]);
        assert_eq!(bytes_of(&words), [1, 0, 2, 0]);
    }
}

//! The two layouts of the guest interface: 64-bit and 32-bit (compat).
//!
//! A guest-facing structure is defined once, generic over [`Abi`]; [`X64`] and [`X32`] give it the layout that
//! C compilers use for x86-64 and i386 (`public/arch-x86/xen.h`). There, `long`, pointers and the alignment of
//! 64-bit integers differ, and with them the padding.
#![allow(unsafe_code, reason = "`Plain` for the word types, each a transparent or packed integer")]

use core::fmt::{self, Debug};

use crate::plain::Plain;

mod sealed {
    pub trait Sealed {}
}

/// The data model of a guest.
pub trait Abi: sealed::Sealed + Copy + Debug + Eq + 'static {
    /// C `unsigned long`, `xen_ulong_t`, `xen_pfn_t`.
    type Ulong: Word;
    /// C `long`.
    type Long: Plain + Into<i64>;
    /// A guest pointer (`XEN_GUEST_HANDLE`).
    type Handle: Word;
    /// `uint64_t` with the alignment that the data model gives it.
    type U64: Word;
    /// `P` in the 64-bit layout, `Q` in the 32-bit one: for padding and for what exists in only one of them.
    type Pick<P: Plain, Q: Plain>: Plain;
    /// Bits of a `long`.
    const BITS: u32;
}

/// The 64-bit layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct X64;

/// The 32-bit (compat) layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct X32;

impl sealed::Sealed for X64 {}
impl sealed::Sealed for X32 {}

impl Abi for X64 {
    type Ulong = u64;
    type Long = i64;
    type Handle = Handle64;
    type U64 = u64;
    type Pick<P: Plain, Q: Plain> = P;
    const BITS: u32 = 64;
}

impl Abi for X32 {
    type Ulong = u32;
    type Long = i32;
    type Handle = Handle32;
    type U64 = CompatU64;
    type Pick<P: Plain, Q: Plain> = Q;
    const BITS: u32 = 32;
}

/// An unsigned word that is at most 64 bits wide.
pub trait Word: Plain {
    /// The word's value.
    fn get(self) -> u64;

    /// The word with this value; `None` if it does not fit.
    fn new(value: u64) -> Option<Self>;

    /// The word with the low bits of `value`.
    fn truncated(value: u64) -> Self;
}

impl Word for u64 {
    fn get(self) -> u64 {
        self
    }
    fn new(value: u64) -> Option<Self> {
        Some(value)
    }
    fn truncated(value: u64) -> Self {
        value
    }
}

impl Word for u32 {
    fn get(self) -> u64 {
        self.into()
    }
    fn new(value: u64) -> Option<Self> {
        value.try_into().ok()
    }
    fn truncated(value: u64) -> Self {
        value as u32
    }
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident($repr:ty), $layout:meta, $fmt:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default)]
        #[$layout]
        pub struct $name($repr);

        // SAFETY: one integer and nothing else.
        unsafe impl Plain for $name {}

        impl $name {
            /// The word with this value.
            #[must_use]
            pub const fn from_raw(value: $repr) -> Self {
                Self(value)
            }

            /// The word's value.
            #[must_use]
            pub const fn raw(self) -> $repr {
                self.0
            }
        }

        impl Word for $name {
            fn get(self) -> u64 {
                self.0.into()
            }
            fn new(value: u64) -> Option<Self> {
                value.try_into().ok().map(Self)
            }
            fn truncated(value: u64) -> Self {
                Self(value as $repr)
            }
        }

        impl Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $fmt, { self.0 })
            }
        }
    };
}

word!(
    /// A guest pointer of 64 bits: an address in the caller's address space, a claim until it was copied from.
    /// Also what domctl and sysctl use whatever the caller (`XEN_GUEST_HANDLE_64`).
    Handle64(u64), repr(transparent), "{:#x}"
);
word!(
    /// A guest pointer of 32 bits.
    Handle32(u32), repr(transparent), "{:#x}"
);
word!(
    /// `uint64_t` as i386 lays it out: aligned to 4 bytes.
    CompatU64(u64), repr(C, packed(4)), "{}"
);

impl Handle64 {
    /// The null handle.
    pub const NULL: Self = Self(0);

    /// Whether the handle is null.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// A handle to memory of the calling program: for tools and guests, never for the hypervisor.
    #[must_use]
    pub fn to<T>(target: *const T) -> Self {
        Self(target.addr() as u64)
    }
}

impl From<u64> for CompatU64 {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_refuse_what_does_not_fit() {
        assert_eq!(Handle32::new(1 << 32), None);
        assert_eq!(Handle32::truncated((1 << 32) + 5).get(), 5);
        assert_eq!(CompatU64::new(u64::MAX).map(Word::get), Some(u64::MAX));
        assert_eq!(align_of::<CompatU64>(), 4);
    }
}

//! Frames and addresses, machine and guest apart.
//!
//! Invariant: a machine address never becomes a guest address (or the reverse) except through a p2m.

use crate::ids::id;

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// The first address bit that no x86-64 CPU of today translates to.
pub const PHYS_BITS_MAX: u32 = 52;

macro_rules! frame_and_address {
    ($frame:ident, $addr:ident, $what:literal) => {
        id!(
            #[doc = concat!("A ", $what, " frame number (address divided by 4 KiB).")]
            #[derive(Default)]
            $frame(u64),
            "{:#x}"
        );
        id!(
            #[doc = concat!("A ", $what, " byte address.")]
            #[derive(Default)]
            $addr(u64),
            "{:#x}"
        );

        impl $frame {
            /// The address of the frame's first byte. Frames past the address space wrap; callers check first.
            pub const fn addr(self) -> $addr {
                $addr(self.0 << PAGE_SHIFT)
            }

            /// The frame `n` further on, or `None` past the end of the number space.
            pub const fn checked_add(self, n: u64) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Whether the frame starts a naturally aligned run of `1 << order` frames.
            pub const fn is_aligned(self, order: u32) -> bool {
                order < 64 && self.0 & ((1 << order) - 1) == 0
            }
        }

        impl $addr {
            /// The frame that holds this byte.
            pub const fn frame(self) -> $frame {
                $frame(self.0 >> PAGE_SHIFT)
            }

            /// The byte's place in its frame.
            pub const fn offset(self) -> usize {
                (self.0 & (PAGE_SIZE as u64 - 1)) as usize
            }

            /// The address `n` bytes further on, or `None` past the end of the address space.
            pub const fn checked_add(self, n: u64) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }
        }
    };
}

frame_and_address!(Mfn, Maddr, "machine");
frame_and_address!(Gfn, Gaddr, "guest");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_splits_into_frame_and_offset() {
        let a = Gaddr(0x1234_5678);
        assert_eq!(a.frame(), Gfn(0x12345));
        assert_eq!(a.offset(), 0x678);
        assert_eq!(a.frame().addr(), Gaddr(0x1234_5000));
    }

    #[test]
    fn alignment_of_any_order_is_defined() {
        assert!(Mfn(0x200).is_aligned(9));
        assert!(!Mfn(0x201).is_aligned(9));
        assert!(!Mfn(0).is_aligned(64));
    }
}

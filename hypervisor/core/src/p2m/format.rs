//! What differs between page-table formats.

use super::ENTRIES;
use super::kind::{Access, Entry, PageType};
use crate::frame::{Gfn, Mfn};

/// A level of the tree, counted from the tables that map single pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u32);

impl Level {
    /// Entries map 4 KiB.
    pub const PAGE: Self = Self(0);
    /// Entries map 2 MiB.
    pub const MEGA: Self = Self(1);
    /// Entries map 1 GiB.
    pub const GIGA: Self = Self(2);
    /// Entries cover 512 GiB: the root, but for formats that are less deep.
    pub const TOP: Self = Self(3);

    /// Levels below the root.
    pub(super) const BELOW_TOP: usize = Self::TOP.0 as usize;

    /// log2 of the frames that an entry of this level covers.
    pub const fn order(self) -> u32 {
        self.0 * 9
    }

    /// The level whose entries cover `1 << order` frames.
    pub const fn of_order(order: u32) -> Option<Self> {
        if order.is_multiple_of(9) && order <= Self::TOP.order() { Some(Self(order / 9)) } else { None }
    }

    /// The next level down, if there is one.
    pub const fn below(self) -> Option<Self> {
        match self.0 {
            0 => None,
            n => Some(Self(n - 1)),
        }
    }

    /// The next level up.
    pub(super) const fn above(self) -> Self {
        Self(self.0 + 1)
    }

    /// Which entry of a table of this level leads to `gfn`.
    #[inline]
    pub const fn index(self, gfn: Gfn) -> usize {
        (gfn.0 >> self.order()) as usize & (ENTRIES - 1)
    }

    pub(super) const fn tables_down_to(self, target: Self) -> usize {
        self.0.saturating_sub(target.0) as usize
    }
}

/// What an entry holds, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Nothing.
    Hole,
    /// The next table.
    Table(Mfn),
    /// A mapping.
    Leaf(Leaf),
}

/// A mapping as an entry holds it; its size is that of the entry's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The first machine frame.
    pub mfn: Mfn,
    /// The type of the page.
    pub kind: PageType,
    /// What the guest may do with it.
    pub access: Access,
}

impl Leaf {
    /// The mapping as the walker reports it, of `1 << order` frames.
    #[inline]
    pub(super) const fn entry(self, order: u32) -> Entry {
        Entry { mfn: self.mfn, order, kind: self.kind, access: self.access }
    }
}

/// A page-table format: how entries are written and read. An entry of 0 is a hole in every format.
///
/// A value of the type carries what the CPU or IOMMU at hand can do (large pages).
pub trait Format {
    /// The level of the root.
    #[inline]
    fn top(&self) -> Level {
        Level::TOP
    }

    /// Whether the hardware remembers that an entry was absent.
    #[inline]
    fn caches_holes(&self) -> bool {
        false
    }

    /// The highest level that may hold leaves; all below may as well.
    fn max_leaf(&self) -> Level;

    /// An entry of `level` that links a table.
    fn table(&self, table: Mfn, level: Level) -> u64;

    /// An entry of `level` that maps a page.
    fn leaf(&self, leaf: Leaf, level: Level) -> u64;

    /// What an entry of `level` holds. Accessed and Dirty bits don't matter.
    fn decode(&self, raw: u64, level: Level) -> Slot;
}

/// Bits 12 to 51 of an entry: the frame's address. Also the largest address that any format can hold.
pub(super) const ADDR_MASK: u64 = 0x000f_ffff_ffff_f000;

/// Where the software bits with the page type start; ignored by the CPU in every format here.
pub(super) const KIND_SHIFT: u32 = 52;

/// The page type in an entry's software bits.
#[inline]
pub(super) fn kind_of(raw: u64) -> Option<PageType> {
    PageType::from_bits((raw >> KIND_SHIFT) & ((1 << PageType::BITS) - 1))
}

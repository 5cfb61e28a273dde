//! Intel extended page tables (SDM volume 3, "The Extended Page Table Mechanism").
//!
//! The entry holds the memory type: write-back for memory, uncacheable for devices. The guest's PAT still counts
//! (it may ask for write-combining in a frame buffer), so "ignore PAT" stays clear.

use super::format::{ADDR_MASK, Format, KIND_SHIFT, Leaf, Level, Slot, kind_of};
use super::kind::{Access, PageType};
use crate::frame::{Maddr, Mfn};

const READ: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const EXECUTE: u64 = 1 << 2;
const TYPE_SHIFT: u32 = 3;
const TYPE_UNCACHEABLE: u64 = 0;
const TYPE_WRITE_BACK: u64 = 6;
/// In an entry above the lowest level: a leaf.
const LARGE: u64 = 1 << 7;
const ACCESSED: u64 = 1 << 8;
const DIRTY: u64 = 1 << 9;

/// The EPT format.
#[derive(Clone, Copy, Debug)]
pub struct Ept {
    /// Whether the CPU has 1 GiB EPT pages (IA32_VMX_EPT_VPID_CAP bit 17).
    pub giant_pages: bool,
}

impl Format for Ept {
    fn max_leaf(&self) -> Level {
        if self.giant_pages { Level::GIGA } else { Level::MEGA }
    }

    fn table(&self, table: Mfn) -> u64 {
        (table.addr().0 & ADDR_MASK) | READ | WRITE | EXECUTE | ACCESSED
    }

    fn leaf(&self, leaf: Leaf, level: Level) -> u64 {
        let memory_type = match leaf.kind {
            PageType::MmioDirect => TYPE_UNCACHEABLE,
            PageType::Ram | PageType::RamReadOnly | PageType::Foreign | PageType::GrantMapped { .. } => {
                TYPE_WRITE_BACK
            }
        };
        let mut raw = (leaf.mfn.addr().0 & ADDR_MASK) | READ | ACCESSED | DIRTY;
        raw |= memory_type << TYPE_SHIFT;
        raw |= leaf.kind.to_bits() << KIND_SHIFT;
        if leaf.access.write {
            raw |= WRITE;
        }
        if leaf.access.execute {
            raw |= EXECUTE;
        }
        if level > Level::PAGE {
            raw |= LARGE;
        }
        raw
    }

    #[inline]
    fn decode(&self, raw: u64, level: Level) -> Slot {
        if raw & READ == 0 {
            return Slot::Hole;
        }
        let mfn = Maddr(raw & ADDR_MASK).frame();
        if level > Level::PAGE && raw & LARGE == 0 {
            return Slot::Table(mfn);
        }
        let access = Access { write: raw & WRITE != 0, execute: raw & EXECUTE != 0 };
        kind_of(raw).map_or(Slot::Hole, |kind| Slot::Leaf(Leaf { mfn, kind, access }))
    }
}

//! Intel's extended page tables (SDM volume 3, 29.3).
//!
//! The MTRRs say nothing about a guest's accesses: the entry takes their place beside the guest's PAT. So memory is
//! write-back and devices are uncacheable here, and a guest's PAT can still make a frame buffer write-combining.
//! Accessed and Dirty bits stay switched off: nobody would read them.

use super::format::{ADDR_MASK, Format, KIND_SHIFT, Leaf, Level, Slot, kind_of};
use super::kind::{Access, PageType};
use crate::frame::{Maddr, Mfn};

const READ: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const EXECUTE: u64 = 1 << 2;
/// The memory type write-back; uncacheable is 0.
const WRITE_BACK: u64 = 6 << 3;
/// In an entry above the lowest level: a leaf.
const LARGE: u64 = 1 << 7;

/// The EPT format.
#[derive(Clone, Copy, Debug)]
pub struct Ept {
    /// Whether the CPU has 1 GiB pages (`IA32_VMX_EPT_VPID_CAP` bit 17).
    pub giant_pages: bool,
}

impl Format for Ept {
    fn max_leaf(&self) -> Level {
        if self.giant_pages { Level::GIGA } else { Level::MEGA }
    }

    fn table(&self, table: Mfn, _level: Level) -> u64 {
        (table.addr().0 & ADDR_MASK) | READ | WRITE | EXECUTE
    }

    fn leaf(&self, leaf: Leaf, level: Level) -> u64 {
        let mut raw = (leaf.mfn.addr().0 & ADDR_MASK) | READ;
        raw |= (leaf.kind as u64) << KIND_SHIFT;
        if leaf.kind != PageType::MmioDirect {
            raw |= WRITE_BACK;
        }
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

//! AMD nested paging: ordinary long-mode entries (APM volume 2, 5.3 and 15.25).
//!
//! Nested walks are user accesses, so User is set everywhere. Memory types are left to the guest's PAT and the host's
//! MTRRs: a nested entry that says write-back lets the stricter of them win, which for device memory is the MTRRs'
//! uncacheable.

use super::format::{ADDR_MASK, Format, KIND_SHIFT, Leaf, Level, Slot, kind_of};
use super::kind::Access;
use crate::frame::{Maddr, Mfn};

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
/// In an entry above the lowest level: a leaf. (In the lowest it is the PAT bit, which stays clear.)
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

/// The nested paging format.
#[derive(Clone, Copy, Debug)]
pub struct Npt {
    /// Whether the CPU has 1 GiB pages (CPUID 0x8000_0001 EDX bit 26).
    pub giant_pages: bool,
}

impl Format for Npt {
    fn max_leaf(&self) -> Level {
        if self.giant_pages { Level::GIGA } else { Level::MEGA }
    }

    fn table(&self, table: Mfn, _level: Level) -> u64 {
        (table.addr().0 & ADDR_MASK) | PRESENT | WRITE | USER | ACCESSED
    }

    fn leaf(&self, leaf: Leaf, level: Level) -> u64 {
        let mut raw = (leaf.mfn.addr().0 & ADDR_MASK) | PRESENT | USER | ACCESSED | DIRTY;
        raw |= (leaf.kind as u64) << KIND_SHIFT;
        if leaf.access.write {
            raw |= WRITE;
        }
        if !leaf.access.execute {
            raw |= NO_EXECUTE;
        }
        if level > Level::PAGE {
            raw |= LARGE;
        }
        raw
    }

    #[inline]
    fn decode(&self, raw: u64, level: Level) -> Slot {
        if raw & PRESENT == 0 {
            return Slot::Hole;
        }
        let mfn = Maddr(raw & ADDR_MASK).frame();
        if level > Level::PAGE && raw & LARGE == 0 {
            return Slot::Table(mfn);
        }
        let access = Access { write: raw & WRITE != 0, execute: raw & NO_EXECUTE == 0 };
        kind_of(raw).map_or(Slot::Hole, |kind| Slot::Leaf(Leaf { mfn, kind, access }))
    }
}

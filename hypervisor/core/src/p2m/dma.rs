//! The second-level tables of IOMMUs: Intel's VT-d (specification 4.1, 9.8) and AMD-Vi (IOMMU specification 3.08,
//! 2.2.3).
//!
//! Which unit a machine has is found out at its start, whatever its CPUs are: so this is one type with a choice inside.
//! Neither knows of execution; no unit looks at an entry's Accessed and Dirty bits.

use super::format::{ADDR_MASK, Format, KIND_SHIFT, Leaf, Level, Slot, kind_of};
use super::kind::{Access, PageType};
use crate::frame::{Maddr, Mfn};

/// VT-d: reading, writing, a leaf above the lowest level, and snooping of the CPUs' caches whatever the device says.
const VTD_READ: u64 = 1 << 0;
const VTD_WRITE: u64 = 1 << 1;
const VTD_LARGE: u64 = 1 << 7;
const VTD_SNOOP: u64 = 1 << 11;

/// AMD-Vi: present, what may be done, and that accesses snoop.
const AMD_PRESENT: u64 = 1 << 0;
const AMD_COHERENT: u64 = 1 << 60;
const AMD_READ: u64 = 1 << 61;
const AMD_WRITE: u64 = 1 << 62;
/// The level of the table that an entry leads to, counted from 1; 0 in leaves.
const AMD_NEXT_SHIFT: u32 = 9;
/// Where the page type is: among bits 1 to 8, which the unit ignores. It does not ignore those of the other formats.
const AMD_KIND_SHIFT: u32 = 1;

/// The format of an IOMMU's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dma {
    /// VT-d.
    Vtd {
        /// Four levels, for 48 address bits; three otherwise, for 39.
        four_levels: bool,
        /// Whether there are 1 GiB pages (capability register bit 35).
        giant_pages: bool,
        /// Whether the unit can have all accesses snooped (extended capability register bit 7).
        snoop_control: bool,
        /// Whether absent entries are cached (capability register bit 7), as units of emulators do.
        caches_holes: bool,
    },
    /// AMD-Vi, which has pages of every size.
    Amd,
}

impl Dma {
    fn rights(self, write: bool) -> u64 {
        match self {
            Self::Vtd { .. } => VTD_READ | if write { VTD_WRITE } else { 0 },
            Self::Amd => AMD_PRESENT | AMD_READ | if write { AMD_WRITE } else { 0 },
        }
    }
}

impl Format for Dma {
    fn top(&self) -> Level {
        match self {
            Self::Vtd { four_levels: false, .. } => Level::GIGA,
            Self::Vtd { .. } | Self::Amd => Level::TOP,
        }
    }

    fn caches_holes(&self) -> bool {
        matches!(self, Self::Vtd { caches_holes: true, .. })
    }

    fn max_leaf(&self) -> Level {
        match self {
            Self::Vtd { giant_pages: false, .. } => Level::MEGA,
            Self::Vtd { .. } | Self::Amd => Level::GIGA,
        }
    }

    fn table(&self, table: Mfn, level: Level) -> u64 {
        let entry = (table.addr().0 & ADDR_MASK) | self.rights(true);
        match self {
            Self::Vtd { .. } => entry,
            Self::Amd => entry | u64::from(level.order() / Level::MEGA.order()) << AMD_NEXT_SHIFT,
        }
    }

    fn leaf(&self, leaf: Leaf, level: Level) -> u64 {
        let entry = (leaf.mfn.addr().0 & ADDR_MASK) | self.rights(leaf.access.write);
        match self {
            Self::Vtd { snoop_control, .. } => {
                let snoop = if *snoop_control { VTD_SNOOP } else { 0 };
                let large = if level > Level::PAGE { VTD_LARGE } else { 0 };
                entry | (leaf.kind as u64) << KIND_SHIFT | snoop | large
            }
            Self::Amd => entry | (leaf.kind as u64) << AMD_KIND_SHIFT | AMD_COHERENT,
        }
    }

    fn decode(&self, raw: u64, level: Level) -> Slot {
        // AMD-Vi's present bit is VT-d's for reading.
        if raw & VTD_READ == 0 {
            return Slot::Hole;
        }
        let mfn = Maddr(raw & ADDR_MASK).frame();
        let (is_leaf, write, kind) = match self {
            Self::Vtd { .. } => (raw & VTD_LARGE != 0, raw & VTD_WRITE != 0, kind_of(raw)),
            Self::Amd => {
                let kind = raw >> AMD_KIND_SHIFT & ((1 << PageType::BITS) - 1);
                (raw >> AMD_NEXT_SHIFT & 7 == 0, raw & AMD_WRITE != 0, PageType::from_bits(kind))
            }
        };
        if level > Level::PAGE && !is_leaf {
            return Slot::Table(mfn);
        }
        let access = Access { write, execute: false };
        kind.map_or(Slot::Hole, |kind| Slot::Leaf(Leaf { mfn, kind, access }))
    }
}

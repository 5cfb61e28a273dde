//! The formats of page tables, and the way down through them.

use super::ReadGuestPhys;
use crate::frame::Gaddr;

/// Bits 51:12, where an entry holds its address.
pub(super) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
pub(super) const NO_EXECUTE: u64 = 1 << 63;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;

/// The paging mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Off,
    /// 32-bit entries, two levels, 4 MiB pages if `large`.
    Legacy {
        large: bool,
    },
    Pae,
    /// 64-bit paging with 4 or 5 levels.
    Long {
        levels: u32,
    },
}

/// The end of a walk. The rights are those of all levels together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) address: u64,
    pub(super) shift: u32,
    pub(super) writable: bool,
    pub(super) user: bool,
    pub(super) no_execute: bool,
}

pub(super) enum Stop {
    NotPresent,
    Reserved,
    NotCanonical,
    NoTable(Gaddr),
    /// The entries are good, but not for that access.
    Forbidden,
}

struct Rights {
    all: u64,
    any: u64,
}

impl Rights {
    const fn new() -> Self {
        Self { all: WRITABLE | USER, any: 0 }
    }

    const fn add(&mut self, entry: u64) {
        self.all &= entry;
        self.any |= entry;
    }

    const fn leaf(&self, base: u64, linear: u64, shift: u32) -> Leaf {
        let within = (1 << shift) - 1;
        Leaf {
            address: base & !within | linear & within,
            shift,
            writable: self.all & WRITABLE != 0,
            user: self.all & USER != 0,
            no_execute: self.any & NO_EXECUTE != 0,
        }
    }
}

#[inline]
pub(super) fn walk(
    format: Format,
    root: u64,
    reserved: u64,
    memory: &impl ReadGuestPhys,
    linear: u64,
) -> Result<Leaf, Stop> {
    match format {
        Format::Off => Ok(Leaf {
            address: linear & 0xffff_ffff,
            shift: 64,
            writable: true,
            user: true,
            no_execute: false,
        }),
        Format::Legacy { large } => legacy(root, reserved, large, memory, linear & 0xffff_ffff),
        Format::Pae => {
            let linear = linear & 0xffff_ffff;
            let entry = read64(memory, (root & 0xffff_ffe0) + (linear >> 30) * 8)?;
            // Only the present bit counts in these four: QEMU sets "accessed" in them, and none has rights.
            if entry & PRESENT == 0 {
                return Err(Stop::NotPresent);
            }
            descend(entry & ADDRESS, 2, reserved, memory, linear)
        }
        Format::Long { levels } => {
            let unused = 64 - (12 + 9 * levels);
            if ((linear << unused) as i64 >> unused) as u64 != linear {
                return Err(Stop::NotCanonical);
            }
            descend(root & ADDRESS, levels, reserved, memory, linear)
        }
    }
}

/// Down from the table at `table`, which is the highest of so many `levels`.
#[inline]
fn descend(
    mut table: u64,
    levels: u32,
    reserved: u64,
    memory: &impl ReadGuestPhys,
    linear: u64,
) -> Result<Leaf, Stop> {
    let mut rights = Rights::new();
    // log2 of what an entry maps.
    let mut shift = 12 + 9 * (levels - 1);
    loop {
        let entry = read64(memory, table + (linear >> shift & 0x1ff) * 8)?;
        if entry & PRESENT == 0 {
            return Err(Stop::NotPresent);
        }
        if entry & reserved != 0 {
            return Err(Stop::Reserved);
        }
        rights.add(entry);
        if shift == 12 || entry & LARGE != 0 {
            // A large page's address bits below its size are reserved, but for the PAT bit (12).
            let misaligned = ADDRESS & ((1 << shift) - 1) & !0x1000;
            if entry & misaligned != 0 || shift > 30 {
                return Err(Stop::Reserved);
            }
            return Ok(rights.leaf(entry & ADDRESS, linear, shift));
        }
        table = entry & ADDRESS;
        shift -= 9;
    }
}

fn legacy(
    root: u64,
    reserved: u64,
    large: bool,
    memory: &impl ReadGuestPhys,
    linear: u64,
) -> Result<Leaf, Stop> {
    let mut rights = Rights::new();
    let entry = read32(memory, (root & 0xffff_f000) + (linear >> 22) * 4)?;
    if entry & PRESENT == 0 {
        return Err(Stop::NotPresent);
    }
    rights.add(entry);
    if large && entry & LARGE != 0 {
        // PSE-36: bits 20:13 are address bits 39:32; bit 21 is reserved.
        let base = entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32;
        if entry & 1 << 21 != 0 || base & reserved != 0 {
            return Err(Stop::Reserved);
        }
        return Ok(rights.leaf(base, linear, 22));
    }
    let entry = read32(memory, (entry & 0xffff_f000) + (linear >> 12 & 0x3ff) * 4)?;
    if entry & PRESENT == 0 {
        return Err(Stop::NotPresent);
    }
    rights.add(entry);
    Ok(rights.leaf(entry & 0xffff_f000, linear, 12))
}

#[inline]
fn read64(memory: &impl ReadGuestPhys, at: u64) -> Result<u64, Stop> {
    memory.read_u64(Gaddr(at)).ok_or(Stop::NoTable(Gaddr(at)))
}

fn read32(memory: &impl ReadGuestPhys, at: u64) -> Result<u64, Stop> {
    memory.read_u32(Gaddr(at)).map(u64::from).ok_or(Stop::NoTable(Gaddr(at)))
}

//! The formats of page tables, and the way down through them.

use super::error_code::{PRESENT as PROTECTION, RESERVED};
use super::{Fault, ReadGuestPhys};
use crate::frame::Gaddr;

/// Bits 51:12, where an entry holds its address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const NO_EXECUTE: u64 = 1 << 63;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;

/// The paging mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
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

/// What the entries of a walk permit together.
#[derive(Clone, Copy)]
pub(super) struct Rights {
    all: u64,
    any: u64,
}

impl Rights {
    pub(super) const fn writable(self) -> bool {
        self.all & WRITABLE != 0
    }

    pub(super) const fn user(self) -> bool {
        self.all & USER != 0
    }

    pub(super) const fn no_execute(self) -> bool {
        self.any & NO_EXECUTE != 0
    }
}

/// A walk under way. Its faults are as if the access were a read by the kernel.
pub(super) struct Walk<'a, R> {
    memory: &'a R,
    linear: u64,
    /// Entry bits that are reserved at every level.
    reserved: u64,
    rights: Rights,
}

impl<'a, R: ReadGuestPhys> Walk<'a, R> {
    #[inline]
    pub(super) const fn new(memory: &'a R, linear: u64, no_execute: bool) -> Self {
        let reserved = if no_execute { 0 } else { NO_EXECUTE };
        Self { memory, linear, reserved, rights: Rights { all: WRITABLE | USER, any: 0 } }
    }

    /// Down from the root; outside 64-bit paging only the low 32 bits of the linear address count.
    #[inline]
    pub(super) fn run(mut self, format: Format, root: u64) -> Result<(Gaddr, Rights), Fault> {
        match format {
            Format::Legacy { large } => {
                self.linear &= 0xffff_ffff;
                self.legacy(root, large)
            }
            Format::Pae => {
                self.linear &= 0xffff_ffff;
                // Only the present bit counts in these four: QEMU sets "accessed" in them, and none has rights.
                let table = self.entry64((root & 0xffff_ffe0) + (self.linear >> 30) * 8)?;
                self.descend(table & ADDRESS, 2)
            }
            Format::Long { levels } => {
                let unused = 64 - (12 + 9 * levels);
                if ((self.linear << unused) as i64 >> unused) as u64 != self.linear {
                    return Err(Fault::NotCanonical);
                }
                self.descend(root & ADDRESS, levels)
            }
        }
    }

    /// Down from the table at `table`, which is the highest of so many `levels`.
    #[inline]
    fn descend(mut self, mut table: u64, levels: u32) -> Result<(Gaddr, Rights), Fault> {
        // log2 of what an entry maps.
        let mut shift = 12 + 9 * (levels - 1);
        loop {
            let entry = self.entry64(table + (self.linear >> shift & 0x1ff) * 8)?;
            if entry & self.reserved != 0 {
                return Err(Fault::Page(PROTECTION | RESERVED));
            }
            self.add(entry);
            if shift == 12 || entry & LARGE != 0 {
                // A large page's address bits below its size are reserved, but for the PAT bit (12).
                let misaligned = ADDRESS & ((1 << shift) - 1) & !0x1000;
                if entry & misaligned != 0 || shift > 30 {
                    return Err(Fault::Page(PROTECTION | RESERVED));
                }
                return Ok(self.found(entry & ADDRESS, shift));
            }
            table = entry & ADDRESS;
            shift -= 9;
        }
    }

    fn legacy(mut self, root: u64, large: bool) -> Result<(Gaddr, Rights), Fault> {
        let entry = self.entry32((root & 0xffff_f000) + (self.linear >> 22) * 4)?;
        self.add(entry);
        if large && entry & LARGE != 0 {
            // PSE-36: bits 20:13 are address bits 39:32; bit 21 is reserved.
            if entry & 1 << 21 != 0 {
                return Err(Fault::Page(PROTECTION | RESERVED));
            }
            return Ok(self.found(entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32, 22));
        }
        let entry = self.entry32((entry & 0xffff_f000) + (self.linear >> 12 & 0x3ff) * 4)?;
        self.add(entry);
        Ok(self.found(entry & 0xffff_f000, 12))
    }

    const fn add(&mut self, entry: u64) {
        self.rights.all &= entry;
        self.rights.any |= entry;
    }

    const fn found(&self, page: u64, shift: u32) -> (Gaddr, Rights) {
        let within = (1 << shift) - 1;
        (Gaddr(page & !within | self.linear & within), self.rights)
    }

    #[inline]
    fn entry64(&self, at: u64) -> Result<u64, Fault> {
        present(at, self.memory.read_u64(Gaddr(at)))
    }

    fn entry32(&self, at: u64) -> Result<u64, Fault> {
        present(at, self.memory.read_u32(Gaddr(at)).map(u64::from))
    }
}

#[inline]
const fn present(at: u64, entry: Option<u64>) -> Result<u64, Fault> {
    match entry {
        Some(entry) if entry & PRESENT != 0 => Ok(entry),
        Some(_) => Err(Fault::Page(0)),
        None => Err(Fault::NoTable(Gaddr(at))),
    }
}

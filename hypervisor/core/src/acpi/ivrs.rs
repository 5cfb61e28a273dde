//! IVRS: AMD-Vi's units, and memory that devices need (IOMMU specification 3.08, chapter 5).

use alloc::vec::Vec;

use super::iommu::{IommuError, Reserved, structures};
use super::{Table, u8_at, u16_at, u64_at};
use crate::frame::{Maddr, PAGE_SIZE};
use crate::vpci::Bdf;

/// Header, flags, and eight bytes for later.
const FIXED_LEN: usize = 48;
/// Descriptions of a unit; newer ones repeat older ones, with more in them.
const IVHD: [u8; 3] = [0x10, 0x11, 0x40];
/// Descriptions of memory: for all devices, for one, for a range of them.
const IVMD: [u8; 3] = [0x20, 0x21, 0x22];
/// In a description of memory: to be mapped at its own address; may be written; is not to be translated at all.
const UNITY: u8 = 1 << 0;
const WRITE: u8 = 1 << 2;
const EXCLUSION: u8 = 1 << 3;

/// A unit (IVHD block).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmdUnit {
    /// The PCI function that it is.
    pub function: Bdf,
    /// Its registers.
    pub registers: Maddr,
    /// What the firmware recommends for it (the block's flags).
    pub flags: u8,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ivrs {
    /// The units, each once.
    pub units: Vec<AmdUnit>,
    /// Memory that firmware wants devices to reach.
    pub reserved: Vec<Reserved>,
}

impl Ivrs {
    /// Reads a table that is an IVRS.
    ///
    /// # Errors
    /// It is damaged. Nothing of it is to be believed then.
    pub fn new(table: Table<'_>) -> Result<Self, IommuError> {
        let bytes = table.expect(b"IVRS", FIXED_LEN)?;
        let mut ivrs = Self::default();
        let header = |at: &[u8]| Some((u8_at(at, 0)?, usize::from(u16_at(at, 2)?)));
        for entry in structures(bytes, FIXED_LEN, header) {
            let (kind, at, bytes) = entry?;
            let short = IommuError::Short { at };
            let flags = u8_at(bytes, 1).ok_or(short)?;
            if IVHD.contains(&kind) {
                let registers = Maddr(u64_at(bytes, 8).ok_or(short)?);
                if registers.0 == 0 || registers.offset() != 0 {
                    return Err(IommuError::Registers { at, registers });
                }
                let id = u16_at(bytes, 4).ok_or(short)?;
                let segment = u16_at(bytes, 16).ok_or(short)?;
                let function = Bdf { segment, bus: (id >> 8) as u8, devfn: id as u8 };
                if !ivrs.units.iter().any(|unit| unit.registers == registers) {
                    ivrs.units.push(AmdUnit { function, registers, flags });
                }
            } else if IVMD.contains(&kind) && flags & (UNITY | EXCLUSION) != 0 {
                let (start, len) = (u64_at(bytes, 16).ok_or(short)?, u64_at(bytes, 24).ok_or(short)?);
                let page = PAGE_SIZE as u64;
                let end = start.checked_add(len).and_then(|end| end.checked_next_multiple_of(page));
                let end = end.ok_or(IommuError::Range { at, start, end: len })?;
                // What firmware does not want to be translated is translated to the same.
                let write = flags & (WRITE | EXCLUSION) != 0;
                ivrs.reserved.push(Reserved::new(at, start / page * page, end, write)?);
            }
        }
        if ivrs.units.is_empty() { Err(IommuError::NoUnit) } else { Ok(ivrs) }
    }
}

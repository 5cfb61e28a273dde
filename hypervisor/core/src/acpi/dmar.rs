//! DMAR: VT-d's units, and memory that devices need (VT-d specification 4.1, chapter 8).

use alloc::vec::Vec;

use super::iommu::{IommuError, Reserved, structures};
use super::{Table, u8_at, u16_at, u64_at};
use crate::frame::{Maddr, PAGE_SIZE};

/// Header, address width, flags, and ten bytes for later.
const FIXED_LEN: usize = 48;
const DRHD: u16 = 0;
const RMRR: u16 = 1;
/// In a unit's flags: it is responsible for all devices of the segment that no other is.
const INCLUDE_ALL: u8 = 1 << 0;

/// A unit (DRHD structure).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VtdUnit {
    /// Its registers.
    pub registers: Maddr,
    /// Their length in bytes.
    pub len: usize,
    /// The segment of its devices.
    pub segment: u16,
    /// Whether it is responsible for all devices of the segment that have no other, and not only for some.
    pub rest_of_segment: bool,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dmar {
    /// The units.
    pub units: Vec<VtdUnit>,
    /// Memory that firmware wants devices to reach (RMRR structures).
    pub reserved: Vec<Reserved>,
}

impl Dmar {
    /// Reads a table that is a DMAR.
    ///
    /// # Errors
    /// It is damaged. Nothing of it is to be believed then.
    pub fn new(table: Table<'_>) -> Result<Self, IommuError> {
        let bytes = table.expect(b"DMAR", FIXED_LEN)?;
        let mut dmar = Self::default();
        let header = |at: &[u8]| Some((u16_at(at, 0)?, usize::from(u16_at(at, 2)?)));
        for entry in structures(bytes, FIXED_LEN, header) {
            let (kind, at, bytes) = entry?;
            let short = IommuError::Short { at };
            match kind {
                DRHD => {
                    let registers = Maddr(u64_at(bytes, 8).ok_or(short)?);
                    if registers.0 == 0 || registers.offset() != 0 {
                        return Err(IommuError::Registers { at, registers });
                    }
                    dmar.units.push(VtdUnit {
                        registers,
                        // The lower half of the byte is a power of two; older tables have zero there, for one page.
                        len: PAGE_SIZE << (u8_at(bytes, 5).ok_or(short)? & 0xf),
                        segment: u16_at(bytes, 6).ok_or(short)?,
                        rest_of_segment: u8_at(bytes, 4).ok_or(short)? & INCLUDE_ALL != 0,
                    });
                }
                RMRR => {
                    let (start, last) = (u64_at(bytes, 8).ok_or(short)?, u64_at(bytes, 16).ok_or(short)?);
                    let end = last.checked_add(1).ok_or(IommuError::Range { at, start, end: last })?;
                    dmar.reserved.push(Reserved::new(at, start, end, true)?);
                }
                _ => {}
            }
        }
        if dmar.units.is_empty() { Err(IommuError::NoUnit) } else { Ok(dmar) }
    }
}

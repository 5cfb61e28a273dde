//! FADT: fixed hardware (ACPI 6.5, 5.2.9).

use super::{Table, TableError, bytes_at, u8_at, u32_at, u64_at};
use crate::frame::Maddr;

/// As much as ACPI 1.0 has.
const MIN_LEN: usize = 116;
const FLAG_TIMER_32_BIT: u32 = 1 << 8;
const FLAG_RESET: u32 = 1 << 10;

/// Where a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// In memory.
    Memory,
    /// An I/O port.
    Io,
    /// Elsewhere.
    Other(u8),
}

/// A register (generic address structure, 5.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenericAddress {
    /// The space.
    pub space: AddressSpace,
    /// Bits in the register.
    pub bit_width: u8,
    /// The address in that space.
    pub address: u64,
}

impl GenericAddress {
    fn parse(bytes: &[u8], offset: usize) -> Option<Self> {
        let raw: [u8; 12] = bytes_at(bytes, offset)?;
        let address = u64_at(&raw, 4)?;
        let space = match raw[0] {
            0 => AddressSpace::Memory,
            1 => AddressSpace::Io,
            other => AddressSpace::Other(other),
        };
        (address != 0).then_some(Self { space, bit_width: raw[1], address })
    }

    fn io(port: u32, bytes: u8) -> Option<Self> {
        (port != 0).then_some(Self {
            space: AddressSpace::Io,
            bit_width: bytes.saturating_mul(8),
            address: u64::from(port),
        })
    }
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Fadt<'a>(&'a [u8]);

impl<'a> Fadt<'a> {
    /// Takes a table that is a FADT.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn new(table: Table<'a>) -> Result<Self, TableError> {
        table.expect(b"FACP", MIN_LEN).map(Self)
    }

    fn word(&self, offset: usize) -> u32 {
        u32_at(self.0, offset).unwrap_or(0)
    }

    /// The DSDT.
    pub fn dsdt(&self) -> Maddr {
        let wide = u64_at(self.0, 140).filter(|at| *at != 0);
        Maddr(wide.unwrap_or(u64::from(self.word(40))))
    }

    /// The PM1 control registers: PM1a, and PM1b where there is one.
    pub fn pm1_control(&self) -> [Option<GenericAddress>; 2] {
        let len = u8_at(self.0, 89).unwrap_or(2);
        [(172, 64), (184, 68)].map(|(wide, narrow)| {
            GenericAddress::parse(self.0, wide).or_else(|| GenericAddress::io(self.word(narrow), len))
        })
    }

    /// The power management timer (3.579545 MHz), and whether it has 32 bits instead of 24.
    pub fn pm_timer(&self) -> Option<(GenericAddress, bool)> {
        let register = GenericAddress::parse(self.0, 208).or_else(|| GenericAddress::io(self.word(76), 4))?;
        Some((register, self.word(112) & FLAG_TIMER_32_BIT != 0))
    }

    /// The reset register and the value that resets.
    pub fn reset(&self) -> Option<(GenericAddress, u8)> {
        if self.word(112) & FLAG_RESET == 0 {
            return None;
        }
        Some((GenericAddress::parse(self.0, 116)?, u8_at(self.0, 128)?))
    }

    /// The index of the century in CMOS memory, if the clock keeps one.
    pub fn century(&self) -> Option<u8> {
        u8_at(self.0, 108).filter(|index| *index != 0)
    }
}

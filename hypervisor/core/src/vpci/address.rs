//! Names of PCI functions, and the two ways to reach their configuration space.

use core::fmt;

pub use crate::acpi::ConfigSpace as Ecam;
use crate::size::Size;

/// A PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bdf {
    /// Segment group.
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device (bits 7:3) and function (bits 2:0).
    pub devfn: u8,
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.segment, self.bus, self.devfn >> 3, self.devfn & 7)
    }
}

/// A place in configuration space, below 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// The function.
    pub bdf: Bdf,
    /// Offset in bytes.
    pub offset: u16,
}

impl Register {
    /// What an access to data port 0xcfc + `byte` reaches while the port at 0xcf8 holds `address`. `None`: disabled, or
    /// it leaves the register.
    pub const fn by_ports(address: u32, byte: u16, size: Size) -> Option<Self> {
        if address >> 31 == 0 || byte + size.bytes() > 4 {
            return None;
        }
        let bdf = Bdf { segment: 0, bus: (address >> 16) as u8, devfn: (address >> 8) as u8 };
        Some(Self { bdf, offset: (address & 0xfc) as u16 + byte })
    }
}

impl Ecam {
    /// First address and length of the window, in bytes.
    pub const fn range(&self) -> (u64, u64) {
        let buses = (self.last_bus as u64 + 1).saturating_sub(self.first_bus as u64);
        (self.base.0.saturating_add((self.first_bus as u64) << 20), buses << 20)
    }

    /// What an access to `address` reaches. `None`: not in the window, or it leaves the aligned register.
    pub const fn register(&self, address: u64, size: Size) -> Option<Register> {
        let (start, length) = self.range();
        if address < start || address - start >= length || (address & 3) as u16 + size.bytes() > 4 {
            return None;
        }
        let at = address - self.base.0;
        let bdf = Bdf { segment: self.segment, bus: (at >> 20) as u8, devfn: (at >> 12) as u8 };
        Some(Register { bdf, offset: (at & 0xfff) as u16 })
    }
}

//! Names of PCI functions, and the two ways to reach their configuration space.

use core::fmt;

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

/// Bytes of a configuration access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1 byte.
    Byte,
    /// 2 bytes.
    Word,
    /// 4 bytes.
    Dword,
}

impl Size {
    /// The size of `bytes`; `None` for one that configuration space does not know.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Word),
            4 => Some(Self::Dword),
            _ => None,
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u16 {
        match self {
            Self::Byte => 1,
            Self::Word => 2,
            Self::Dword => 4,
        }
    }

    /// All bits of the size; also what a read of nothing gives.
    pub const fn ones(self) -> u32 {
        u32::MAX >> (32 - self.bytes() * 8)
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

/// The address register at port 0xcf8.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressPort {
    value: u32,
}

impl AddressPort {
    /// Reads the port, 4 bytes.
    pub const fn get(&self) -> u32 {
        self.value
    }

    /// Writes the port, 4 bytes. Other sizes are not for this register.
    pub const fn set(&mut self, value: u32) {
        self.value = value;
    }

    /// What an access to data port 0xcfc + `byte` reaches. `None`: disabled, or it leaves the register.
    pub const fn register(&self, byte: u16, size: Size) -> Option<Register> {
        if self.value >> 31 == 0 || byte + size.bytes() > 4 {
            return None;
        }
        let bdf = Bdf { segment: 0, bus: (self.value >> 16) as u8, devfn: (self.value >> 8) as u8 };
        Some(Register { bdf, offset: (self.value & 0xfc) as u16 + byte })
    }
}

/// A memory-mapped configuration window, one entry of the MCFG table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecam {
    /// Physical address where bus 0 is or would be.
    pub base: u64,
    /// Segment group.
    pub segment: u16,
    /// First bus in the window.
    pub first_bus: u8,
    /// Last bus in the window.
    pub last_bus: u8,
}

impl Ecam {
    /// First address and length of the window, in bytes.
    pub const fn range(&self) -> (u64, u64) {
        let buses = (self.last_bus as u64 + 1).saturating_sub(self.first_bus as u64);
        (self.base.saturating_add((self.first_bus as u64) << 20), buses << 20)
    }

    /// What an access to `address` reaches. `None`: not in the window, or it leaves the aligned register.
    pub const fn register(&self, address: u64, size: Size) -> Option<Register> {
        let (start, length) = self.range();
        if address < start || address - start >= length || (address & 3) as u16 + size.bytes() > 4 {
            return None;
        }
        let at = address - self.base;
        let bdf = Bdf { segment: self.segment, bus: (at >> 20) as u8, devfn: (at >> 12) as u8 };
        Some(Register { bdf, offset: (at & 0xfff) as u16 })
    }
}

//! Sizes of accesses to ports and to configuration space.

/// Bytes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1 byte.
    Byte = 1,
    /// 2 bytes.
    Word = 2,
    /// 4 bytes.
    Dword = 4,
}

impl Size {
    /// The size of `bytes`; `None` for one that neither ports nor configuration space know.
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
        self as u16
    }

    /// All bits of the size; also what a read of nothing gives.
    pub const fn ones(self) -> u32 {
        u32::MAX >> (32 - self.bytes() * 8)
    }
}

//! What a leaf says about its page: its type, and what the guest may do with it.

use crate::frame::Mfn;

/// What kind of page a guest frame is. Kept in software bits of the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageType {
    /// The domain's own memory.
    Ram,
    /// The domain's own memory, writes fault.
    RamReadOnly,
    /// A device's registers or memory, passed through.
    MmioDirect,
    /// Another domain's page, mapped by a privileged one.
    Foreign,
    /// Another domain's page, granted by it.
    GrantMapped {
        /// Whether the grant allows writing.
        writable: bool,
    },
}

impl PageType {
    /// Bits that [`to_bits`](Self::to_bits) uses.
    pub const BITS: u32 = 4;

    /// The type as a number of [`Self::BITS`] bits.
    pub const fn to_bits(self) -> u64 {
        match self {
            Self::Ram => 0,
            Self::RamReadOnly => 1,
            Self::MmioDirect => 2,
            Self::Foreign => 3,
            Self::GrantMapped { writable: false } => 4,
            Self::GrantMapped { writable: true } => 5,
        }
    }

    /// The type behind a number, if it is one.
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::Ram),
            1 => Some(Self::RamReadOnly),
            2 => Some(Self::MmioDirect),
            3 => Some(Self::Foreign),
            4 => Some(Self::GrantMapped { writable: false }),
            5 => Some(Self::GrantMapped { writable: true }),
            _ => None,
        }
    }

    /// `wanted`, less what the type forbids: no code is fetched from other domains' pages.
    pub const fn limit(self, wanted: Access) -> Access {
        let (may_write, may_execute) = match self {
            Self::Ram | Self::MmioDirect => (true, true),
            Self::RamReadOnly => (false, true),
            Self::Foreign => (true, false),
            Self::GrantMapped { writable } => (writable, false),
        };
        Access { write: wanted.write && may_write, execute: wanted.execute && may_execute }
    }
}

/// What the guest may do with a page besides reading it. (No format can express a page that is mapped and unreadable.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Writing.
    pub write: bool,
    /// Fetching instructions.
    pub execute: bool,
}

impl Access {
    /// Read only.
    pub const READ: Self = Self { write: false, execute: false };
    /// Read and write.
    pub const READ_WRITE: Self = Self { write: true, execute: false };
    /// Everything.
    pub const ALL: Self = Self { write: true, execute: true };
}

/// A mapping, as the walker reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The machine frame.
    pub mfn: Mfn,
    /// log2 of the number of frames.
    pub order: u32,
    /// The type of the page.
    pub kind: PageType,
    /// What the guest may do with it.
    pub access: Access,
}

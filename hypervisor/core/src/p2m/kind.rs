//! What a leaf says about its page: its type, and what the guest may do with it.

use crate::frame::Mfn;

/// What kind of page a guest frame is. Kept as a number in software bits of the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageType {
    /// The domain's own memory.
    Ram = 0,
    /// A device's registers or memory, passed through.
    MmioDirect = 1,
    /// Another domain's page, mapped by a privileged one.
    Foreign = 2,
    /// Another domain's page, granted by it.
    GrantMapped = 3,
}

impl PageType {
    /// Bits that hold a type as a number.
    pub const BITS: u32 = 4;

    /// The type behind a number, if it is one.
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::Ram),
            1 => Some(Self::MmioDirect),
            2 => Some(Self::Foreign),
            3 => Some(Self::GrantMapped),
            _ => None,
        }
    }

    /// `wanted`, less what the type forbids: no code is fetched from other domains' pages.
    pub const fn limit(self, wanted: Access) -> Access {
        match self {
            Self::Ram | Self::MmioDirect => wanted,
            Self::Foreign | Self::GrantMapped => Access { execute: false, ..wanted },
        }
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

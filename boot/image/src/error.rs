//! Why a file is no kernel that can be started.

use core::fmt;

use crate::unpack::{Compression, UnpackError};

/// A refusal; its text is meant for whoever named the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// The file, or the ELF image in it, ends too early.
    Truncated {
        /// What is missing, in whole or in part.
        what: &'static str,
        /// The offset where it would end.
        end: u64,
        /// The bytes there are.
        len: u64,
    },
    /// An offset and a length in the file exceed 64 bits together.
    Overflow {
        /// What they describe.
        what: &'static str,
    },
    /// The file is neither a bzImage nor an ELF file.
    UnknownFormat {
        /// Its first bytes.
        magic: [u8; 4],
    },
    /// A Linux image whose boot protocol doesn't say where the kernel is.
    OldBootProtocol {
        /// Major version in the high byte.
        version: u16,
    },
    /// A Linux image without a kernel in it.
    NoPayload,
    /// The kernel is packed in a way that is not known.
    UnknownCompression {
        /// The first bytes of the payload.
        magic: [u8; 6],
    },
    /// The kernel is packed in a known way that has no decoder here.
    UnsupportedCompression(Compression),
    /// The unpacked kernel exceeds the caller's limit.
    TooLarge {
        /// Bytes that the file announces.
        unpacked: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// There is no memory to unpack to.
    NoMemory {
        /// Bytes needed.
        bytes: u64,
    },
    /// The packed kernel is damaged.
    Unpack {
        /// How it is packed.
        compression: Compression,
        /// What is wrong.
        cause: UnpackError,
    },
    /// The kernel is no ELF file that the parser understands.
    Elf(&'static str),
    /// The ELF file is for another kind of machine.
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// Too many program headers.
    TooManySegments {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Nothing is to be loaded.
    NoSegments,
    /// A program header contradicts itself.
    BadSegment {
        /// Its index.
        index: usize,
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// Two segments claim the same guest memory.
    Overlap {
        /// Where the second one starts.
        paddr: u64,
    },
    /// The ELF file has no PVH entry.
    NotPvh,
    /// A note has an impossible size.
    BadNote {
        /// Its type, `XEN_ELFNOTE_*`.
        kind: u32,
        /// Its size in bytes.
        len: usize,
    },
    /// The PVH entry lies outside of what is loaded.
    EntryOutside {
        /// The entry's address.
        entry: u64,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { what, end, len } => {
                write!(f, "truncated at byte {len} of {end}: {what} is incomplete")
            }
            Self::Overflow { what } => write!(f, "corrupt: offset and length of {what} overflow"),
            Self::UnknownFormat { magic } => {
                write!(f, "neither a bzImage nor an ELF file: starts with {magic:02x?}")
            }
            Self::OldBootProtocol { version } => write!(
                f,
                "Linux boot protocol {}.{:02} is older than 2.08 and doesn't say where the kernel is",
                version >> 8,
                version & 0xff
            ),
            Self::NoPayload => f.write_str("the bzImage holds no kernel (payload length 0)"),
            Self::UnknownCompression { magic } => {
                write!(f, "unknown compression: the packed kernel starts with {magic:02x?}")
            }
            Self::UnsupportedCompression(compression) => {
                write!(
                    f,
                    "the kernel is packed with {compression}; gzip, xz, lzma, lz4 and zstd are supported"
                )
            }
            Self::TooLarge { unpacked, limit } => {
                write!(f, "the unpacked kernel has {unpacked} bytes, {limit} are allowed")
            }
            Self::NoMemory { bytes } => write!(f, "no memory for {bytes} bytes of unpacked kernel"),
            Self::Unpack { compression, cause } => write!(f, "corrupt {compression} data: {cause}"),
            Self::Elf(what) => write!(f, "corrupt ELF file: {what}"),
            Self::Machine { machine } => write!(f, "ELF machine {machine}: not an x86 kernel"),
            Self::TooManySegments { count, limit } => {
                write!(f, "{count} ELF program headers, {limit} are allowed")
            }
            Self::NoSegments => f.write_str("the ELF file has nothing to load (no PT_LOAD)"),
            Self::BadSegment { index, rule } => write!(f, "ELF program header {index}: {rule}"),
            Self::Overlap { paddr } => {
                write!(f, "ELF segments overlap at guest address {paddr:#x}")
            }
            Self::NotPvh => {
                f.write_str("not a PVH kernel: no XEN_ELFNOTE_PHYS32_ENTRY (a Linux kernel needs CONFIG_PVH)")
            }
            Self::BadNote { kind, len } => {
                write!(f, "Xen ELF note {kind} has an impossible size of {len} bytes")
            }
            Self::EntryOutside { entry } => {
                write!(f, "the PVH entry {entry:#x} lies outside of all loaded segments")
            }
        }
    }
}

impl core::error::Error for ImageError {}

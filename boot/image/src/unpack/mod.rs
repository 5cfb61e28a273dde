//! Decompression of kernel payloads, each format by the field's own decoder, each straight to the caller's buffer.
//!
//! A decoder gets the packed bytes and a buffer, and returns how many bytes it wrote; it never writes or allocates in
//! proportion to anything but the buffer's length and the format's own fixed windows.

mod gzip;
mod lz4;
mod xz;
mod zstd;

use core::fmt;

pub use zstd::decode as unpack_zstd;

/// How a kernel may be packed (Linux `CONFIG_KERNEL_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Deflate in a gzip member.
    Gzip,
    /// LZMA2 in an xz stream, with the x86 filter as a rule.
    Xz,
    /// LZMA in the old format.
    Lzma,
    /// LZ4 in the legacy frame format.
    Lz4,
    /// A Zstandard frame.
    Zstd,
    /// Bzip2. Recognized, not supported.
    Bzip2,
    /// LZO. Recognized, not supported.
    Lzo,
}

/// Why packed data can't be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnpackError {
    /// The data ends before the kernel does.
    Truncated,
    /// The data unpacks to more or fewer bytes than the file says.
    WrongLength {
        /// Bytes that the file says.
        announced: usize,
    },
    /// The checksum is not that of the unpacked bytes.
    Checksum,
    /// The decoder's working memory can't be had, or exceeds its limit.
    NoMemory,
    /// The decoder's own words.
    Invalid(&'static str),
}

pub(crate) type Decoder = fn(&[u8], &mut [u8]) -> Result<usize, UnpackError>;

impl Compression {
    /// Recognizes packed data by its first bytes.
    #[must_use]
    pub fn detect(data: &[u8]) -> Option<Self> {
        const MAGICS: &[(&[u8], Compression)] = &[
            (&[0x1f, 0x8b], Compression::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
            (&[0x5d, 0, 0], Compression::Lzma),
            (&[0x02, 0x21, 0x4c, 0x18], Compression::Lz4),
            (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
            (b"BZh", Compression::Bzip2),
            (&[0x89, b'L', b'Z', b'O'], Compression::Lzo),
        ];
        MAGICS.iter().find(|(magic, _)| data.starts_with(magic)).map(|(_, compression)| *compression)
    }

    pub(crate) fn decoder(self) -> Option<Decoder> {
        match self {
            Self::Gzip => Some(gzip::decode),
            Self::Xz => Some(xz::decode),
            Self::Lzma => Some(xz::decode_lzma),
            Self::Lz4 => Some(lz4::decode),
            Self::Zstd => Some(zstd::decode),
            Self::Bzip2 | Self::Lzo => None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lzo => "lzo",
        })
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it ends before the kernel does"),
            Self::WrongLength { announced } => {
                write!(f, "it does not unpack to the {announced} bytes that the file announces")
            }
            Self::Checksum => f.write_str("the checksum of the unpacked bytes is wrong"),
            Self::NoMemory => f.write_str("the decoder needs more memory than there is or may be used"),
            Self::Invalid(what) => f.write_str(what),
        }
    }
}

//! What kind of file it is, and getting at the ELF image in it.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::error::ImageError;
use crate::unpack::{Compression, UnpackError};
use crate::{bytes, bzimage};

const ELF_MAGIC: &[u8] = b"\x7fELF";
/// Every packed payload ends with the size of what is in it (for gzip, its own trailer is just that).
const TRAILER: usize = 4;

/// A kernel file.
#[derive(Clone, Copy, Debug)]
pub enum File<'a> {
    /// An ELF image, alone or in a bzImage.
    Elf(&'a [u8]),
    /// A packed ELF image.
    Packed(Packed<'a>),
}

/// A packed ELF image.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    compression: Compression,
    data: &'a [u8],
    unpacked_len: usize,
}

impl<'a> File<'a> {
    /// Recognizes a bzImage, an ELF file and a gzip'd ELF file.
    ///
    /// # Errors
    /// The file is something else, or ends too early.
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        if bzimage::is_bzimage(file) {
            return Self::payload(bzimage::payload(file)?);
        }
        if file.starts_with(ELF_MAGIC) || Compression::detect(file) == Some(Compression::Gzip) {
            return Self::payload(file);
        }
        Err(ImageError::UnknownFormat { magic: bytes::prefix(file) })
    }

    fn payload(payload: &'a [u8]) -> Result<Self, ImageError> {
        if payload.starts_with(ELF_MAGIC) {
            return Ok(Self::Elf(payload));
        }
        let compression = Compression::detect(payload)
            .ok_or(ImageError::UnknownCompression { magic: bytes::prefix(payload) })?;
        let what = "the packed kernel";
        let start = payload.len().checked_sub(TRAILER).ok_or(ImageError::Truncated {
            what,
            end: TRAILER as u64,
            len: payload.len() as u64,
        })?;
        let unpacked_len = bytes::u32(payload, start as u64, what)? as usize;
        let data = if compression == Compression::Gzip { payload } else { &payload[..start] };
        Ok(Self::Packed(Packed { compression, data, unpacked_len }))
    }
}

impl Packed<'_> {
    /// How the image is packed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The size of the ELF image, as the file claims it.
    #[must_use]
    pub fn unpacked_len(&self) -> usize {
        self.unpacked_len
    }

    /// Unpacks to `out`, which has exactly [`unpacked_len`](Self::unpacked_len) bytes. What it holds after an error
    /// is unspecified.
    ///
    /// # Errors
    /// The data is damaged, or its decoder can't get the memory it works with.
    pub fn unpack_into(&self, out: &mut [u8]) -> Result<(), ImageError> {
        let damaged = |cause| ImageError::Unpack { compression: self.compression, cause };
        if out.len() != self.unpacked_len {
            return Err(damaged(UnpackError::WrongLength { announced: self.unpacked_len }));
        }
        let decode =
            self.compression.decoder().ok_or(ImageError::UnsupportedCompression(self.compression))?;
        let len = decode(self.data, out).map_err(damaged)?;
        if len != out.len() {
            return Err(damaged(UnpackError::WrongLength { announced: out.len() }));
        }
        Ok(())
    }
}

/// The ELF image of a kernel file, unpacked if need be, of at most `limit` bytes.
///
/// # Errors
/// As for [`File::parse`] and [`Packed::unpack_into`]; [`ImageError::TooLarge`]; [`ImageError::NoMemory`].
pub fn unpack(file: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, ImageError> {
    let packed = match File::parse(file)? {
        File::Elf(elf) => return Ok(Cow::Borrowed(elf)),
        File::Packed(packed) => packed,
    };
    let len = packed.unpacked_len();
    if len > limit {
        return Err(ImageError::TooLarge { unpacked: len as u64, limit: limit as u64 });
    }
    let mut elf = Vec::new();
    elf.try_reserve_exact(len).map_err(|_| ImageError::NoMemory { bytes: len as u64 })?;
    elf.resize(len, 0);
    packed.unpack_into(&mut elf)?;
    Ok(Cow::Owned(elf))
}

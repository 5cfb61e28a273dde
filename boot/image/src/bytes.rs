//! Checked little-endian reads.

use crate::error::ImageError;

/// `len` bytes at `offset`. `what` names them in the error.
pub fn slice<'a>(bytes: &'a [u8], offset: u64, len: u64, what: &'static str) -> Result<&'a [u8], ImageError> {
    let end = offset.checked_add(len).ok_or(ImageError::Overflow { what })?;
    let truncated = ImageError::Truncated { what, end, len: bytes.len() as u64 };
    match (usize::try_from(offset), usize::try_from(end)) {
        (Ok(offset), Ok(end)) => bytes.get(offset..end).ok_or(truncated),
        _ => Err(truncated),
    }
}

fn array<const N: usize>(bytes: &[u8], offset: u64, what: &'static str) -> Result<[u8; N], ImageError> {
    let mut value = [0; N];
    value.copy_from_slice(slice(bytes, offset, N as u64, what)?);
    Ok(value)
}

pub fn u8(bytes: &[u8], offset: u64, what: &'static str) -> Result<u8, ImageError> {
    array(bytes, offset, what).map(u8::from_le_bytes)
}

pub fn u16(bytes: &[u8], offset: u64, what: &'static str) -> Result<u16, ImageError> {
    array(bytes, offset, what).map(u16::from_le_bytes)
}

pub fn u32(bytes: &[u8], offset: u64, what: &'static str) -> Result<u32, ImageError> {
    array(bytes, offset, what).map(u32::from_le_bytes)
}

/// The first bytes, padded with zeros; for magic numbers and messages.
pub fn prefix<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}

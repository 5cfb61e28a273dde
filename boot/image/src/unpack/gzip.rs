//! gzip (RFC 1952): one member.

use alloc::boxed::Box;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::UnpackError;

const DEFLATE: u8 = 8;
const HEADER: usize = 10;
const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, UnpackError> {
    let body = skip_header(data)?;
    // The inflater's tables are about 11 KiB: too much for a kernel stack.
    let mut inflater = Box::<DecompressorOxide>::default();
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, consumed, produced) = decompress(&mut inflater, body, out, 0, flags);
    match status {
        TINFLStatus::Done => {}
        TINFLStatus::HasMoreOutput => return Err(UnpackError::WrongLength { announced: out.len() }),
        TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
            return Err(UnpackError::Truncated);
        }
        _ => return Err(UnpackError::Invalid("a deflate block is damaged")),
    }
    let trailer =
        body.get(consumed..).and_then(|rest| rest.first_chunk::<4>()).ok_or(UnpackError::Truncated)?;
    let unpacked = out.get(..produced).ok_or(UnpackError::Truncated)?;
    if crc32fast::hash(unpacked) != u32::from_le_bytes(*trailer) {
        return Err(UnpackError::Checksum);
    }
    Ok(produced)
}

/// What follows the member's header with its optional fields.
fn skip_header(data: &[u8]) -> Result<&[u8], UnpackError> {
    let (header, mut rest) = data.split_at_checked(HEADER).ok_or(UnpackError::Truncated)?;
    if header[2] != DEFLATE {
        return Err(UnpackError::Invalid("the gzip method is not deflate"));
    }
    let flags = header[3];
    if flags & HAS_EXTRA != 0 {
        let (len, behind) = rest.split_first_chunk::<2>().ok_or(UnpackError::Truncated)?;
        rest = behind.get(usize::from(u16::from_le_bytes(*len))..).ok_or(UnpackError::Truncated)?;
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(UnpackError::Truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HAS_HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(UnpackError::Truncated)?;
    }
    Ok(rest)
}

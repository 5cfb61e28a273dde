//! The legacy LZ4 frame that `lz4 -l` writes and Linux uses: independent blocks of 8 MiB, no checksums.

use lz4_flex::block::{DecompressError, decompress_into};

use super::UnpackError;

const MAGIC_LEN: usize = 4;
/// What every block but the last unpacks to.
const BLOCK: usize = 8 << 20;

pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, UnpackError> {
    let mut rest = data.get(MAGIC_LEN..).ok_or(UnpackError::Truncated)?;
    let mut done = 0;
    while !rest.is_empty() {
        let (len, behind) = rest.split_first_chunk::<4>().ok_or(UnpackError::Truncated)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (block, behind) = behind.split_at_checked(len).ok_or(UnpackError::Truncated)?;
        let room = &mut out[done..];
        let room_len = room.len().min(BLOCK);
        done += decompress_into(block, &mut room[..room_len]).map_err(|error| match error {
            DecompressError::OutputTooSmall { .. } => {
                UnpackError::Invalid("a block is larger than it may be")
            }
            DecompressError::ExpectedAnotherByte | DecompressError::LiteralOutOfBounds => {
                UnpackError::Truncated
            }
            _ => UnpackError::Invalid("a block refers to bytes before its start"),
        })?;
        rest = behind;
    }
    Ok(done)
}

//! Compressed clusters.

use std::fs::File;
use std::io;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::flaw::Flaw;
use super::header::Compression;
use crate::block::engine::read;

/// The `size` bytes of a cluster that is compressed in at most `len` bytes from `place` on.
///
/// # Errors
/// [`Flaw::Compressed`], or as the system says.
pub fn unpack(
    file: &File,
    compression: Compression,
    place: u64,
    len: usize,
    size: usize,
) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; len];
    read(file, place, &mut packed)?;
    let whole = match compression {
        Compression::Zlib => decompress_to_vec_with_limit(&packed, size).ok(),
        Compression::Zstd => {
            let mut whole = vec![0; size];
            let done = guest_image::unpack_zstd(&packed, &mut whole);
            done.ok().filter(|done| *done == size).map(|_| whole)
        }
    };
    whole.filter(|whole| whole.len() == size).ok_or_else(|| Flaw::Compressed(place).into())
}

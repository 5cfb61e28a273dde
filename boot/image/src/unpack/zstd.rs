//! Zstandard (RFC 8878): one frame.
//!
//! `zstd --ultra -22`, which Linux uses through a pipe, announces a 128 MiB window whatever the kernel's size, and the
//! decoder allocates what is announced. No more than the whole output can ever be referred to, so the window
//! descriptor is replaced by the smallest one that covers the output.

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;

use super::UnpackError;

const MAGIC_LEN: usize = 4;
/// In the frame header's descriptor: there is no window descriptor, the window is the content.
const SINGLE_SEGMENT: u8 = 1 << 5;
/// Decoded between two drains to the output; bounds what the decoder holds beside its window.
const STEP: usize = 1 << 20;

/// Unpacks the Zstandard frame that `data` begins with into `out`. Returns how many bytes it wrote.
///
/// # Errors
/// [`UnpackError`].
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, UnpackError> {
    let (header, body) = data.split_first_chunk::<{ MAGIC_LEN + 2 }>().ok_or(UnpackError::Truncated)?;
    let mut header = *header;
    if header[MAGIC_LEN] & SINGLE_SEGMENT == 0 {
        header[MAGIC_LEN + 1] = header[MAGIC_LEN + 1].min(window_descriptor(out.len()));
    }
    let mut source = Chain { header: &header, body };

    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(window_size(window_descriptor(out.len())));
    decoder
        .init(&mut source)
        .map_err(|_| UnpackError::Invalid("the frame header is damaged or its window too large"))?;
    let mut done = 0;
    loop {
        decoder.decode_blocks(&mut source, BlockDecodingStrategy::UptoBytes(STEP)).map_err(|_| {
            if source.body.is_empty() {
                UnpackError::Truncated
            } else {
                UnpackError::Invalid("a block is damaged")
            }
        })?;
        done +=
            decoder.read(&mut out[done..]).map_err(|_| UnpackError::Invalid("its output can't be read"))?;
        if decoder.is_finished() {
            break;
        }
        if done == out.len() {
            return Err(UnpackError::WrongLength { announced: out.len() });
        }
    }
    if decoder.can_collect() != 0 {
        return Err(UnpackError::WrongLength { announced: out.len() });
    }
    match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
        (Some(wanted), Some(found)) if wanted != found => Err(UnpackError::Checksum),
        _ => Ok(done),
    }
}

/// The size that a window descriptor stands for (RFC 8878, 3.1.1.1.2).
fn window_size(descriptor: u8) -> u64 {
    let base = 1u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

/// The smallest window descriptor that covers `len` bytes. Sizes grow with the descriptor.
fn window_descriptor(len: usize) -> u8 {
    (0..=u8::MAX).find(|descriptor| window_size(*descriptor) >= len as u64).unwrap_or(u8::MAX)
}

/// The patched header, then the rest of the frame.
struct Chain<'a> {
    header: &'a [u8],
    body: &'a [u8],
}

impl Read for Chain<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ruzstd::io::Error> {
        if self.header.is_empty() { self.body.read(into) } else { self.header.read(into) }
    }
}

//! xz streams and the older lzma files.

use lzma_rust2::{Error, LzmaReader, Read, XzReader};

use super::UnpackError;

/// KiB that a decoder may use: room for a dictionary of 128 MiB, the largest that Linux's build asks for.
const MEMORY_LIMIT: u32 = (128 + 2) << 10;

pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, UnpackError> {
    drain(XzReader::new_mem_limit(data, false, MEMORY_LIMIT), out)
}

pub fn decode_lzma(data: &[u8], out: &mut [u8]) -> Result<usize, UnpackError> {
    drain(LzmaReader::new_mem_limit(data, MEMORY_LIMIT, None).map_err(refuse)?, out)
}

fn drain(mut reader: impl Read, out: &mut [u8]) -> Result<usize, UnpackError> {
    let mut done = 0;
    while done < out.len() {
        match reader.read(&mut out[done..]).map_err(refuse)? {
            0 => return Ok(done),
            n => done += n,
        }
    }
    // The checksum is compared when the end is read.
    match reader.read(&mut [0]).map_err(refuse)? {
        0 => Ok(done),
        _ => Err(UnpackError::WrongLength { announced: out.len() }),
    }
}

fn refuse(error: Error) -> UnpackError {
    match error {
        Error::Eof => UnpackError::Truncated,
        Error::OutOfMemory(_) => UnpackError::NoMemory,
        Error::InvalidData(what)
        | Error::InvalidInput(what)
        | Error::Other(what)
        | Error::Unsupported(what) => UnpackError::Invalid(what),
        Error::Interrupted | Error::WriteZero(_) => UnpackError::Invalid("the decoder stopped"),
    }
}

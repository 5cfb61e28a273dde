//! The setup header of a Linux bzImage (Linux `Documentation/x86/boot.rst`): where the packed kernel is.

use crate::bytes;
use crate::error::ImageError;

const SETUP_SECTS: u64 = 0x1f1;
const MAGIC: u64 = 0x202;
const VERSION: u64 = 0x206;
const PAYLOAD_OFFSET: u64 = 0x248;
const PAYLOAD_LENGTH: u64 = 0x24c;

const SECTOR: u64 = 512;
/// What a setup-sector count of 0 stands for.
const DEFAULT_SETUP_SECTS: u64 = 4;
/// The first protocol version that has the payload fields.
const VERSION_WITH_PAYLOAD: u16 = 0x0208;

/// Whether the file is a Linux image. A file too short to say is none.
pub fn is_bzimage(file: &[u8]) -> bool {
    bytes::slice(file, MAGIC, 4, "") == Ok(b"HdrS")
}

/// The packed kernel.
pub fn payload(file: &[u8]) -> Result<&[u8], ImageError> {
    const HEADER: &str = "the setup header";
    let version = bytes::u16(file, VERSION, HEADER)?;
    if version < VERSION_WITH_PAYLOAD {
        return Err(ImageError::OldBootProtocol { version });
    }
    let sectors = match bytes::u8(file, SETUP_SECTS, HEADER)? {
        0 => DEFAULT_SETUP_SECTS,
        n => u64::from(n),
    };
    // One boot sector precedes the setup sectors. The sum stays far below 64 bits.
    let start = (sectors + 1) * SECTOR + u64::from(bytes::u32(file, PAYLOAD_OFFSET, HEADER)?);
    let len = u64::from(bytes::u32(file, PAYLOAD_LENGTH, HEADER)?);
    if len == 0 {
        return Err(ImageError::NoPayload);
    }
    bytes::slice(file, start, len, "the packed kernel")
}

//! LZMA2: chunks of LZMA or plain bytes, with resets between them.

use super::lzma::{Ending, Lzma};
use super::window::Window;
use crate::unpack::UnpackError;

/// What a chunk's control byte says.
enum Chunk {
    End,
    Plain { reset_dictionary: bool },
    Lzma { len_high: usize, reset: Reset },
}

/// What is forgotten before an LZMA chunk. Each includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reset {
    Nothing,
    State,
    Properties,
    Dictionary,
}

impl Chunk {
    fn of(control: u8) -> Option<Self> {
        let reset = match control {
            0 => return Some(Self::End),
            1 => return Some(Self::Plain { reset_dictionary: true }),
            2 => return Some(Self::Plain { reset_dictionary: false }),
            0x80..0xa0 => Reset::Nothing,
            0xa0..0xc0 => Reset::State,
            0xc0..0xe0 => Reset::Properties,
            0xe0.. => Reset::Dictionary,
            3..0x80 => return None,
        };
        Some(Self::Lzma { len_high: usize::from(control & 0x1f) << 16, reset })
    }
}

/// Unpacks chunks up to the end mark and returns what follows it. `lzma` is kept for the next block.
pub fn decode<'a>(
    mut data: &'a [u8],
    window: &mut Window<'_>,
    lzma: &mut Option<Lzma>,
) -> Result<&'a [u8], UnpackError> {
    // What the first chunk must reset at least.
    let mut needed = Reset::Dictionary;
    loop {
        let control = take::<1>(&mut data)?[0];
        match Chunk::of(control).ok_or(UnpackError::Invalid("a chunk has an unknown control byte"))? {
            Chunk::End => return Ok(data),
            Chunk::Plain { reset_dictionary } => {
                if reset_dictionary {
                    window.reset();
                    needed = Reset::Properties;
                } else if needed == Reset::Dictionary {
                    return Err(MISSING_RESET);
                }
                let len = usize::from(u16::from_be_bytes(take(&mut data)?)) + 1;
                window.extend(take_slice(&mut data, len)?)?;
            }
            Chunk::Lzma { len_high, reset } => {
                if reset < needed {
                    return Err(MISSING_RESET);
                }
                needed = Reset::Nothing;
                let len = len_high + usize::from(u16::from_be_bytes(take(&mut data)?)) + 1;
                let packed_len = usize::from(u16::from_be_bytes(take(&mut data)?)) + 1;
                if reset == Reset::Dictionary {
                    window.reset();
                }
                if reset >= Reset::Properties {
                    let [properties] = take(&mut data)?;
                    let fits = match lzma {
                        Some(lzma) => lzma.set_properties(properties),
                        None => {
                            *lzma = Lzma::new(properties);
                            lzma.is_some()
                        }
                    };
                    if !fits {
                        return Err(UnpackError::Invalid("a chunk has impossible properties"));
                    }
                }
                let lzma = lzma.as_mut().ok_or(MISSING_RESET)?;
                if reset == Reset::State {
                    lzma.reset();
                }
                let packed = take_slice(&mut data, packed_len)?;
                lzma.run(packed, window, len, Ending::Length)?;
            }
        }
    }
}

pub fn take<const N: usize>(data: &mut &[u8]) -> Result<[u8; N], UnpackError> {
    let (head, rest) = data.split_first_chunk::<N>().ok_or(UnpackError::Truncated)?;
    *data = rest;
    Ok(*head)
}

pub fn take_slice<'a>(data: &mut &'a [u8], len: usize) -> Result<&'a [u8], UnpackError> {
    let (head, rest) = data.split_at_checked(len).ok_or(UnpackError::Truncated)?;
    *data = rest;
    Ok(head)
}

const MISSING_RESET: UnpackError = UnpackError::Invalid("a chunk builds on one that is not there");

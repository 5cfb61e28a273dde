//! The ModRM byte and what follows it. The address is not computed: the exit tells it.

use super::prefix::Reader;
use super::{Unsupported, Width};

/// A ModRM byte whose other operand is memory, or a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModRm {
    /// The register field, which is an opcode extension in some instructions.
    pub(super) reg: u8,
    pub(super) is_memory: bool,
}

impl ModRm {
    /// Reads the byte and skips SIB and displacement (SDM vol. 2, tables 2-1 to 2-3).
    pub(super) fn read(reader: &mut Reader<'_>, address: Width) -> Result<Self, Unsupported> {
        let byte = reader.byte()?;
        let (mode, reg, rm) = (byte >> 6, byte >> 3 & 7, byte & 7);
        if mode == 3 {
            return Ok(Self { reg, is_memory: false });
        }
        let displacement = if address == Width::Word {
            match (mode, rm) {
                (0, 6) | (2, _) => 2,
                (1, _) => 1,
                _ => 0,
            }
        } else {
            let base = if rm == 4 { reader.byte()? & 7 } else { rm };
            match (mode, base) {
                (0, 5) | (2, _) => 4,
                (1, _) => 1,
                _ => 0,
            }
        };
        reader.skip(displacement)?;
        Ok(Self { reg, is_memory: true })
    }
}

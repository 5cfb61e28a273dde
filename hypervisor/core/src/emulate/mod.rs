//! Emulation of the instructions with which kernels touch device registers, and the lengths of those that exit.
//!
//! The CPU found the instruction valid and translated its operand before it faulted on the device page, so the
//! device address comes from the exit and is not computed here. The bytes are read again and may have changed
//! meanwhile: whatever they say now is executed against that one address, or refused by name.
//!
//! A `rep` instruction does one element per call and leaves RIP where it is until the count is used up.

use iced_x86::Mnemonic;

use crate::errors;
use crate::guest_cpu::CpuMode;

mod alu;
mod decode;
mod execute;
mod length;
#[cfg(test)]
mod tests;

pub use decode::{Instruction, decode};
pub use execute::{Bus, execute};
pub use length::{Exiting, cr8_operand, length_of};

/// Has `iced-x86` build its tables, so that no guest's exit allocates them. Decoding works without, but is then the
/// first time that a failing allocation shows.
pub(crate) fn prepare() {
    let _ = decode(&[], CpuMode::Bits64);
}

/// Bytes of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 1 byte.
    Byte = 1,
    /// 2 bytes.
    Word = 2,
    /// 4 bytes.
    Dword = 4,
    /// 8 bytes.
    Qword = 8,
}

impl Width {
    /// The width in bytes.
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// The width in bits.
    pub const fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }

    /// All bits of an operand of this width.
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// `value`'s low bits, extended by their sign.
    pub const fn sign_extend(self, value: u64) -> u64 {
        let unused = 64 - self.bits();
        ((value << unused) as i64 >> unused) as u64
    }
}

/// A segment register, in the order of their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Segment {
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
}

errors! {
    /// Why an instruction is not emulated. The vCPU's domain is told and crashed by this name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Unsupported {
        /// The bytes at hand end before the instruction does.
        Truncated => "instruction bytes end early";
        /// Undefined, too long, or with a LOCK prefix that it must not have.
        Invalid => "no valid instruction of at most 15 bytes";
        /// None that is emulated on device registers.
        Instruction(mnemonic: Mnemonic) => "{mnemonic:?} is not emulated on device registers";
        /// All operands are registers, so nothing of it can have touched the device.
        NoMemoryOperand(mnemonic: Mnemonic) => "{mnemonic:?} without a memory operand";
    }
}

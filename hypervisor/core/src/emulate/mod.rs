//! Emulation of the instructions with which kernels touch device registers, and the lengths of those that exit.
//!
//! The CPU found the instruction valid and translated its operand before it faulted on the device page, so the
//! device address comes from the exit and is not computed here. The bytes are read again and may have changed
//! meanwhile: whatever they say now is executed against that one address, or refused by name.
//!
//! A `rep` instruction does one element per call and leaves RIP where it is until the count is used up.

use crate::errors;

mod alu;
mod decode;
mod execute;
mod length;
mod modrm;
mod prefix;
#[cfg(test)]
mod tests;

pub use decode::{Instruction, decode};
pub use execute::{Bus, execute};
pub use length::{Exiting, cr8_operand, identify, length_of};

/// The default operand and address size of the code segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSize {
    /// Real mode and 16-bit segments.
    Bits16,
    /// 32-bit segments, also in compatibility mode.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

/// Bytes of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 1 byte.
    Byte,
    /// 2 bytes.
    Word,
    /// 4 bytes.
    Dword,
    /// 8 bytes.
    Qword,
}

impl Width {
    /// The width in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::Word => 2,
            Self::Dword => 4,
            Self::Qword => 8,
        }
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

/// A segment register.
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

/// A general register, 0 (RAX) to 15 (R15) in the order of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpr(u8);

impl Gpr {
    /// RAX.
    pub const RAX: Self = Self(0);
    /// RCX.
    pub const RCX: Self = Self(1);
    /// RSI.
    pub const RSI: Self = Self(6);
    /// RDI.
    pub const RDI: Self = Self(7);

    const fn new(number: u8) -> Self {
        Self(number & 15)
    }

    /// The number, below 16.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The registers of the vCPU that runs the instruction.
pub trait Registers {
    /// Reads a general register.
    fn gpr(&self, register: Gpr) -> u64;
    /// Writes a general register, all 64 bits.
    fn set_gpr(&mut self, register: Gpr, value: u64);
    /// The instruction pointer.
    fn rip(&self) -> u64;
    /// Moves the instruction pointer.
    fn set_rip(&mut self, rip: u64);
    /// The flags.
    fn rflags(&self) -> u64;
    /// Writes the flags.
    fn set_rflags(&mut self, rflags: u64);
}

errors! {
    /// Why an instruction is not emulated. The vCPU's domain is told and crashed by this name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Unsupported {
        /// The bytes at hand end before the instruction does.
        Truncated => "instruction bytes end early";
        /// More than 15 bytes.
        TooLong => "instruction longer than 15 bytes";
        /// No instruction that is emulated on device registers (two-byte opcodes as 0x0fNN).
        Opcode(opcode: u16) => "opcode {opcode:#x} is not emulated on device registers";
        /// Both operands are registers, so nothing of it can have touched the device.
        NoMemoryOperand(opcode: u16) => "opcode {opcode:#x} has no memory operand";
    }
}

//! From bytes to an [`Instruction`]: the moves, string operations and read-modify-writes that kernels use on
//! device registers. SSE and the like are refused.

use super::alu::{BitOp, Op, Unary};
use super::modrm::ModRm;
use super::prefix::{Prefixes, Reader};
use super::{CodeSize, Segment, Unsupported, Width};
use crate::guest_cpu::Gpr;

/// A register operand; the byte registers AH to BH are bits 15:8 of the first four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) gpr: Gpr,
    pub(super) high: bool,
}

/// The operand that is not the device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Register(Register),
    Immediate(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Register := device, extended to `to`.
    Load {
        register: Register,
        to: Width,
        signed: bool,
    },
    /// Device := source.
    Store(Source),
    /// Device := device op source (nothing for CMP and TEST).
    Modify(Op, Source),
    /// Register := register op device.
    Combine(Op, Register),
    Unary(Unary),
    Bit(BitOp, Source),
    Exchange(Register),
    /// `[RDI] := [RSI]`, one side of which is the device.
    Move(Segment),
    /// `[RDI] := RAX`.
    Fill,
    /// `RAX := [RSI]`.
    Fetch,
}

/// A decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub(super) kind: Kind,
    pub(super) width: Width,
    pub(super) address: Width,
    pub(super) repeat: bool,
    pub(super) length: u8,
}

/// Decodes the instruction at the start of `bytes`.
///
/// # Errors
/// [`Unsupported`] if it is none of those that are emulated, or if the bytes end too early.
pub fn decode(bytes: &[u8], code: CodeSize) -> Result<Instruction, Unsupported> {
    let mut reader = Reader::new(bytes);
    let (prefixes, first) = Prefixes::read(&mut reader, code)?;
    let mut decoder = Decoder { reader, prefixes, code };
    let (kind, width) = if first == 0x0f { decoder.two_byte()? } else { decoder.one_byte(first)? };
    Ok(Instruction {
        kind,
        width,
        address: prefixes.address_width(code),
        repeat: prefixes.repeat && matches!(kind, Kind::Move(_) | Kind::Fill | Kind::Fetch),
        length: decoder.reader.length(),
    })
}

struct Decoder<'a> {
    reader: Reader<'a>,
    prefixes: Prefixes,
    code: CodeSize,
}

impl Decoder<'_> {
    fn one_byte(&mut self, opcode: u8) -> Result<(Kind, Width), Unsupported> {
        let name = u16::from(opcode);
        // In most of the map, bit 0 tells bytes from the operand size.
        let width = if opcode & 1 == 0 { Width::Byte } else { self.operand_width() };
        let kind = match opcode {
            0x00..=0x3f if opcode & 7 < 4 => {
                let op = Op::from_field(opcode >> 3);
                let register = self.register(name, width)?;
                if opcode & 2 == 0 {
                    Kind::Modify(op, Source::Register(register))
                } else {
                    Kind::Combine(op, register)
                }
            }
            0x63 if self.code == CodeSize::Bits64 => {
                let to = self.operand_width();
                let register = self.register(name, to)?;
                let from = if to == Width::Word { Width::Word } else { Width::Dword };
                return Ok((Kind::Load { register, to, signed: true }, from));
            }
            0x82 if self.code == CodeSize::Bits64 => return Err(Unsupported::Opcode(name)),
            0x80..=0x83 => {
                let op = Op::from_field(self.memory(name)?.reg);
                let immediate =
                    if opcode == 0x81 { self.immediate(width)? } else { self.immediate(Width::Byte)? };
                Kind::Modify(op, immediate)
            }
            0x84 | 0x85 => {
                let register = self.register(name, width)?;
                Kind::Modify(Op::Test, Source::Register(register))
            }
            0x86 | 0x87 => Kind::Exchange(self.register(name, width)?),
            0x88 | 0x89 => Kind::Store(Source::Register(self.register(name, width)?)),
            0x8a | 0x8b => self.load(name, width)?,
            0xa0..=0xa3 => {
                let address = self.prefixes.address_width(self.code);
                self.reader.skip(address.bytes() as usize)?;
                let register = Register { gpr: Gpr::Rax, high: false };
                if opcode & 2 == 0 {
                    Kind::Load { register, to: width, signed: false }
                } else {
                    Kind::Store(Source::Register(register))
                }
            }
            0xa4 | 0xa5 => Kind::Move(self.prefixes.segment.unwrap_or(Segment::Ds)),
            0xaa | 0xab => Kind::Fill,
            0xac | 0xad => Kind::Fetch,
            0xc6 | 0xc7 => match self.memory(name)?.reg {
                0 => Kind::Store(self.immediate(width)?),
                _ => return Err(Unsupported::Opcode(name)),
            },
            0xf6 | 0xf7 => match self.memory(name)?.reg {
                0 | 1 => Kind::Modify(Op::Test, self.immediate(width)?),
                2 => Kind::Unary(Unary::Not),
                3 => Kind::Unary(Unary::Negate),
                _ => return Err(Unsupported::Opcode(name)),
            },
            0xfe | 0xff => match self.memory(name)?.reg {
                0 => Kind::Unary(Unary::Increment),
                1 => Kind::Unary(Unary::Decrement),
                _ => return Err(Unsupported::Opcode(name)),
            },
            _ => return Err(Unsupported::Opcode(name)),
        };
        Ok((kind, width))
    }

    fn two_byte(&mut self) -> Result<(Kind, Width), Unsupported> {
        let opcode = self.reader.byte()?;
        let name = 0x0f00 | u16::from(opcode);
        let width = self.operand_width();
        Ok(match opcode {
            0xa3 | 0xab | 0xb3 | 0xbb => {
                let register = self.register(name, width)?;
                (Kind::Bit(BitOp::from_field(opcode >> 3), Source::Register(register)), width)
            }
            0xba => {
                let field = self.memory(name)?.reg;
                if field < 4 {
                    return Err(Unsupported::Opcode(name));
                }
                (Kind::Bit(BitOp::from_field(field), self.immediate(Width::Byte)?), width)
            }
            0xb6 | 0xb7 | 0xbe | 0xbf => {
                let register = self.register(name, width)?;
                let from = if opcode & 1 == 0 { Width::Byte } else { Width::Word };
                (Kind::Load { register, to: width, signed: opcode & 8 != 0 }, from)
            }
            // MOVNTI has no form with prefix 66, F2 or F3.
            0xc3 if !self.prefixes.operand && !self.prefixes.repeat => {
                let register = self.register(name, width)?;
                let width = if width == Width::Word { Width::Dword } else { width };
                (Kind::Store(Source::Register(register)), width)
            }
            _ => return Err(Unsupported::Opcode(name)),
        })
    }

    fn operand_width(&self) -> Width {
        self.prefixes.operand_width(self.code)
    }

    fn load(&mut self, name: u16, width: Width) -> Result<Kind, Unsupported> {
        let register = self.register(name, width)?;
        Ok(Kind::Load { register, to: width, signed: false })
    }

    fn memory(&mut self, name: u16) -> Result<ModRm, Unsupported> {
        let modrm = ModRm::read(&mut self.reader, self.prefixes.address_width(self.code))?;
        if modrm.is_memory { Ok(modrm) } else { Err(Unsupported::NoMemoryOperand(name)) }
    }

    /// The register field of an instruction whose other operand is memory.
    fn register(&mut self, name: u16, width: Width) -> Result<Register, Unsupported> {
        let field = self.memory(name)?.reg;
        let high = width == Width::Byte && !self.prefixes.has_rex() && field >= 4;
        let number = if high { field - 4 } else { field | self.prefixes.rex_r() };
        Ok(Register { gpr: Gpr::from_encoding(number), high })
    }

    /// An immediate: at most 4 bytes, extended by its sign.
    fn immediate(&mut self, width: Width) -> Result<Source, Unsupported> {
        let width = if width == Width::Qword { Width::Dword } else { width };
        self.reader.signed(width).map(Source::Immediate)
    }
}

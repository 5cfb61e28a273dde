//! From bytes to an [`Instruction`]: the moves, string operations and read-modify-writes that kernels use on
//! device registers, picked out of what `iced-x86` knows. SSE and the like are refused.

use iced_x86::{Decoder, DecoderError, DecoderOptions, Mnemonic, OpKind};

use super::alu::Op;
use super::{Segment, Unsupported, Width};
use crate::guest_cpu::{CpuMode, Gpr};

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
    /// Device := device op source (nothing for CMP, TEST and BT).
    Modify(Op, Source),
    /// Register := register op device.
    Combine(Op, Register),
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
    /// Of the addresses and the count of a string operation.
    pub(super) address: Width,
    pub(super) repeat: bool,
    /// In bytes.
    pub length: u8,
}

/// The instruction at the start of `bytes`, whatever it is.
pub(super) fn disassemble(bytes: &[u8], mode: CpuMode) -> Result<iced_x86::Instruction, Unsupported> {
    // For LOCK MOV CR0, which is MOV CR8 there. Nothing else that is looked for here depends on the vendor.
    let mut decoder = Decoder::new(mode.bits(), bytes, DecoderOptions::AMD);
    let found = decoder.decode();
    match decoder.last_error() {
        DecoderError::None => Ok(found),
        DecoderError::NoMoreBytes => Err(Unsupported::Truncated),
        _ => Err(Unsupported::Invalid),
    }
}

/// Decodes the instruction at the start of `bytes`.
///
/// # Errors
/// [`Unsupported`] if it is none of those that are emulated, or if the bytes end too early.
pub fn decode(bytes: &[u8], mode: CpuMode) -> Result<Instruction, Unsupported> {
    let found = disassemble(bytes, mode)?;
    let refusal = Unsupported::Instruction(found.mnemonic());
    let repeatable = found.is_string_instruction();
    let kind = match (found.op0_kind(), found.op1_kind()) {
        _ if repeatable => string(&found),
        (OpKind::Memory, _) => memory_first(&found),
        (_, OpKind::Memory) => memory_second(&found),
        _ => return Err(Unsupported::NoMemoryOperand(found.mnemonic())),
    };
    Ok(Instruction {
        kind: kind.ok_or(refusal)?,
        width: width(found.memory_size().size()).ok_or(refusal)?,
        address: match (found.op0_kind(), found.op1_kind()) {
            (OpKind::MemoryESDI, _) | (_, OpKind::MemorySegSI) => Width::Word,
            (OpKind::MemoryESEDI, _) | (_, OpKind::MemorySegESI) => Width::Dword,
            _ => Width::Qword,
        },
        repeat: repeatable && (found.has_rep_prefix() || found.has_repne_prefix()),
        length: found.len() as u8,
    })
}

const SEGMENTS: [Segment; 6] = [Segment::Es, Segment::Cs, Segment::Ss, Segment::Ds, Segment::Fs, Segment::Gs];

/// What a string instruction does, if it is emulated.
fn string(found: &iced_x86::Instruction) -> Option<Kind> {
    Some(match found.mnemonic() {
        Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
            Kind::Move(*SEGMENTS.get(found.memory_segment().number())?)
        }
        Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => Kind::Fill,
        Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq => Kind::Fetch,
        _ => return None,
    })
}

/// An instruction whose first operand is memory.
fn memory_first(found: &iced_x86::Instruction) -> Option<Kind> {
    let source = || match found.op1_kind() {
        _ if found.op_count() == 1 => Some(Source::Immediate(0)),
        OpKind::Register => register(found.op1_register()).map(Source::Register),
        _ => found.try_immediate(1).ok().map(Source::Immediate),
    };
    Some(match found.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movnti => Kind::Store(source()?),
        Mnemonic::Xchg => Kind::Exchange(register(found.op1_register())?),
        other => Kind::Modify(operation(other)?, source()?),
    })
}

/// An instruction whose second operand is memory: the first is a register.
fn memory_second(found: &iced_x86::Instruction) -> Option<Kind> {
    let (own, mnemonic) = (register(found.op0_register())?, found.mnemonic());
    Some(match mnemonic {
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd => Kind::Load {
            register: own,
            to: width(found.op0_register().size())?,
            signed: matches!(mnemonic, Mnemonic::Movsx | Mnemonic::Movsxd),
        },
        other => Kind::Combine(operation(other)?, own),
    })
}

fn operation(mnemonic: Mnemonic) -> Option<Op> {
    Some(match mnemonic {
        Mnemonic::Add => Op::Add,
        Mnemonic::Or => Op::Or,
        Mnemonic::Adc => Op::Adc,
        Mnemonic::Sbb => Op::Sbb,
        Mnemonic::And => Op::And,
        Mnemonic::Sub => Op::Sub,
        Mnemonic::Xor => Op::Xor,
        Mnemonic::Cmp => Op::Cmp,
        Mnemonic::Test => Op::Test,
        Mnemonic::Not => Op::Not,
        Mnemonic::Neg => Op::Neg,
        Mnemonic::Inc => Op::Inc,
        Mnemonic::Dec => Op::Dec,
        Mnemonic::Bt => Op::Bt,
        Mnemonic::Bts => Op::Bts,
        Mnemonic::Btr => Op::Btr,
        Mnemonic::Btc => Op::Btc,
        _ => return None,
    })
}

/// A general register by iced's name.
pub(super) fn register(name: iced_x86::Register) -> Option<Register> {
    use iced_x86::Register::{AH, BH, CH, DH};
    name.is_gpr().then(|| Register {
        gpr: Gpr::from_encoding(name.full_register().number() as u8),
        high: matches!(name, AH | BH | CH | DH),
    })
}

fn width(bytes: usize) -> Option<Width> {
    [Width::Byte, Width::Word, Width::Dword, Width::Qword].into_iter().find(|w| w.bytes() == bytes as u64)
}

//! Which exiting instruction is at RIP, and how long it is.
//!
//! CPUs without next-RIP save do not tell the length of an intercepted instruction. Nearly all are met in their
//! plain encoding, for which [`length_of`] looks at two or three bytes; only prefixed ones are taken apart.

use super::CodeSize;
use super::modrm::ModRm;
use super::prefix::{Prefixes, Reader};
use crate::guest_cpu::Gpr;

/// An instruction that can cause an exit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the instructions' own names")]
pub enum Exiting {
    Cpuid,
    Vmmcall,
    Vmcall,
    Hlt,
    Rdmsr,
    Wrmsr,
    Invd,
    Wbinvd,
    /// IN, OUT, INS, OUTS.
    PortIo,
    Xsetbv,
    Rdtsc,
    Rdtscp,
    Rdpmc,
    Monitor,
    Mwait,
    Pause,
    Invlpg,
    /// MOV to or from a control register, CLTS, SMSW, LMSW.
    ControlRegister,
    /// MOV to or from a debug register.
    DebugRegister,
}

/// The instruction at the start of `bytes` and its length, or `None` if it is none of [`Exiting`] or incomplete.
pub fn identify(bytes: &[u8], code: CodeSize) -> Option<(Exiting, u8)> {
    let mut reader = Reader::new(bytes);
    let (prefixes, first) = Prefixes::read(&mut reader, code).ok()?;
    let address = prefixes.address_width(code);
    let what = match first {
        0xf4 => Exiting::Hlt,
        0x90 if prefixes.repeat => Exiting::Pause,
        0x6c..=0x6f | 0xec..=0xef => Exiting::PortIo,
        0xe4..=0xe7 => {
            reader.skip(1).ok()?;
            Exiting::PortIo
        }
        0x0f => match reader.byte().ok()? {
            0x01 => {
                let mut ahead = reader.clone();
                let third = ahead.byte().ok()?;
                let modrm = ModRm::read(&mut reader, address).ok()?;
                match (modrm.is_memory, third) {
                    (_, 0xc1) => Exiting::Vmcall,
                    (_, 0xc8) => Exiting::Monitor,
                    (_, 0xc9) => Exiting::Mwait,
                    (_, 0xd1) => Exiting::Xsetbv,
                    (_, 0xd9) => Exiting::Vmmcall,
                    (_, 0xf9) => Exiting::Rdtscp,
                    (true, _) if modrm.reg == 7 => Exiting::Invlpg,
                    _ if modrm.reg == 4 || modrm.reg == 6 => Exiting::ControlRegister,
                    _ => return None,
                }
            }
            0x06 => Exiting::ControlRegister,
            0x08 => Exiting::Invd,
            0x09 => Exiting::Wbinvd,
            // The mode bits of MOV CR and MOV DR are ignored: both operands are always registers.
            0x20 | 0x22 => {
                reader.skip(1).ok()?;
                Exiting::ControlRegister
            }
            0x21 | 0x23 => {
                reader.skip(1).ok()?;
                Exiting::DebugRegister
            }
            0x30 => Exiting::Wrmsr,
            0x31 => Exiting::Rdtsc,
            0x32 => Exiting::Rdmsr,
            0x33 => Exiting::Rdpmc,
            0xa2 => Exiting::Cpuid,
            _ => return None,
        },
        _ => return None,
    };
    Some((what, reader.length()))
}

/// The length of `expected`, if that is what `bytes` start with.
pub fn length_of(expected: Exiting, bytes: &[u8], code: CodeSize) -> Option<u8> {
    let plain: &[u8] = match expected {
        Exiting::Cpuid => &[0x0f, 0xa2],
        Exiting::Rdmsr => &[0x0f, 0x32],
        Exiting::Wrmsr => &[0x0f, 0x30],
        Exiting::Rdtsc => &[0x0f, 0x31],
        Exiting::Vmmcall => &[0x0f, 0x01, 0xd9],
        Exiting::Vmcall => &[0x0f, 0x01, 0xc1],
        Exiting::Hlt => &[0xf4],
        _ => &[],
    };
    if !plain.is_empty() && bytes.starts_with(plain) {
        return Some(plain.len() as u8);
    }
    match identify(bytes, code) {
        Some((what, length)) if what == expected => Some(length),
        _ => None,
    }
}

/// The general register of the MOV to or from CR8 that `bytes` start with, and the instruction's length. Which control
/// register it is has been decided by the CPU: LOCK MOV CR0 is one, too (AMD64 manual volume 3, MOV CRn).
#[must_use]
pub fn cr8_operand(bytes: &[u8], code: CodeSize) -> Option<(Gpr, u8)> {
    let mut reader = Reader::new(bytes);
    let (prefixes, first) = Prefixes::read(&mut reader, code).ok()?;
    let opcode = (first, reader.byte().ok()?);
    if !matches!(opcode, (0x0f, 0x20 | 0x22)) {
        return None;
    }
    let register = reader.byte().ok()? & 7 | prefixes.rex_b();
    Some((Gpr::from_encoding(register), reader.length()))
}

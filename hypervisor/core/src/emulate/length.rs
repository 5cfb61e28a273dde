//! Which exiting instruction is at RIP, and how long it is.
//!
//! CPUs without next-RIP save do not tell the length of an intercepted instruction.

use iced_x86::Mnemonic;

use super::decode::{disassemble, register};
use crate::guest_cpu::{CpuMode, Gpr};

/// An instruction that exits and is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the instructions' own names")]
pub enum Exiting {
    Cpuid,
    Vmmcall,
    Hlt,
    Rdmsr,
    Wrmsr,
    Wbinvd,
    Xsetbv,
}

/// The length of `expected`, if that is what `bytes` start with.
pub fn length_of(expected: Exiting, bytes: &[u8], mode: CpuMode) -> Option<u8> {
    let found = disassemble(bytes, mode).ok()?;
    let what = match found.mnemonic() {
        Mnemonic::Cpuid => Exiting::Cpuid,
        // A CPU or guest without encrypted state takes VMGEXIT for VMMCALL.
        Mnemonic::Vmmcall | Mnemonic::Vmgexit => Exiting::Vmmcall,
        Mnemonic::Hlt => Exiting::Hlt,
        Mnemonic::Rdmsr => Exiting::Rdmsr,
        Mnemonic::Wrmsr => Exiting::Wrmsr,
        Mnemonic::Wbinvd | Mnemonic::Wbnoinvd => Exiting::Wbinvd,
        Mnemonic::Xsetbv => Exiting::Xsetbv,
        _ => return None,
    };
    (what == expected).then(|| found.len() as u8)
}

/// The general register of the MOV to or from CR8 that `bytes` start with, and the instruction's length. Which control
/// register it is has been decided by the CPU: LOCK MOV CR0 is one, too (AMD64 manual volume 3, MOV CRn).
#[must_use]
pub fn cr8_operand(bytes: &[u8], mode: CpuMode) -> Option<(Gpr, u8)> {
    let found = disassemble(bytes, mode).ok()?;
    let (to, from) = (found.op0_register(), found.op1_register());
    let general = match (to.is_cr(), from.is_cr()) {
        (true, _) => from,
        (_, true) => to,
        _ => return None,
    };
    Some((register(general)?.gpr, found.len() as u8))
}

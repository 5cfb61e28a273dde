//! Model-specific registers, also those that may not exist.
#![allow(unsafe_code, reason = "RDMSR and WRMSR, with a fixup for the fault")]

use core::arch::asm;

use x86_64::registers::model_specific::Msr;

/// Reads an MSR that exists on this CPU.
///
/// # Safety
/// It exists; reading it has no side effect that anybody minds.
#[inline]
pub unsafe fn read(msr: u32) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { Msr::new(msr).read() }
}

/// Writes an MSR that exists on this CPU.
///
/// # Safety
/// It exists, takes this value, and what that does to the CPU breaks nothing.
#[inline]
pub unsafe fn write(msr: u32, value: u64) {
    // SAFETY: the caller's promise.
    unsafe { Msr::new(msr).write(value) };
}

/// Reads an MSR, or returns `None` where the CPU refuses.
pub fn try_read(msr: u32) -> Option<u64> {
    let (low, high, failed): (u32, u32, u32);
    // SAFETY: a read that faults is taken up at label 3 with `failed` still 1.
    unsafe {
        asm!(
            "mov {failed:e}, 1",
            "2: rdmsr",
            "xor {failed:e}, {failed:e}",
            "3:",
            ".pushsection .fixups, \"a\"",
            ".quad 2b, 3b",
            ".popsection",
            failed = out(reg) failed,
            in("ecx") msr, lateout("eax") low, lateout("edx") high,
            options(nostack)
        );
    }
    (failed == 0).then_some(u64::from(high) << 32 | u64::from(low))
}

//! Model-specific registers that may not exist.
#![allow(unsafe_code, reason = "RDMSR, with a fixup for the fault")]

use core::arch::asm;

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

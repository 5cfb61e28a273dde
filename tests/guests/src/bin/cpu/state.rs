//! The FPU and the extended state.
#![allow(unsafe_code, reason = "instructions of the FPU and the vector units")]

use core::arch::asm;

use test_guests::abi::sched;
use test_guests::abi::xen::HYPERCALL_SCHED_OP;
use test_guests::suite::{self, Outcome};
use test_guests::trap::PROTECTION;
use test_guests::{attempt, call, check, check_eq, cpu};

const CR4_OSXSAVE: u64 = 1 << 18;

fn has_xsave() -> bool {
    cpu::cpuid(1, 0).ecx & 1 << 26 != 0
}

fn xsetbv(register: u32, value: u64) -> Result<(), test_guests::trap::Trap> {
    // SAFETY: the tests use no state that gets disabled.
    unsafe { attempt!("xsetbv"; in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32) }
}

fn xgetbv() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: a read; OSXSAVE is on.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nostack, nomem)) }
    u64::from(high) << 32 | u64::from(low)
}

pub fn xcr0() -> Outcome {
    if !has_xsave() {
        return suite::skip("no XSAVE");
    }
    cpu::set_cr4(cpu::cr4() | CR4_OSXSAVE)?;
    let offered = u64::from(cpu::cpuid(0xd, 0).eax) | u64::from(cpu::cpuid(0xd, 0).edx) << 32;
    check_eq!(offered & 3, 3);
    for value in [0, 2, 5, offered | 1 << 62] {
        let refused = xsetbv(0, value);
        check!(refused.is_err_and(|trap| trap.vector == PROTECTION), "XCR0 {value:#x}: {refused:?}");
    }
    check!(xsetbv(1, 1).is_err(), "XCR1");
    xsetbv(0, 3)?;
    check_eq!(xgetbv(), 3);
    let small = cpu::cpuid(0xd, 0).ebx;
    xsetbv(0, offered & 7)?;
    check_eq!(xgetbv(), offered & 7);
    let large = cpu::cpuid(0xd, 0);
    check!(large.ebx >= small && large.ebx <= large.ecx, "{small} {large:?}");
    Ok(())
}

/// What is in the vector registers is there after the vCPU has waited.
pub fn vectors_survive() -> Outcome {
    let yields = || call::any(HYPERCALL_SCHED_OP, &[sched::OP_YIELD.into()]);
    // SAFETY: the program itself uses no vector registers.
    unsafe { asm!("pcmpeqd xmm0, xmm0", "pcmpeqd xmm15, xmm15", "psrlq xmm15, 12", options(nostack, nomem)) }
    yields()?;
    let _ = cpu::cpuid(0, 0);
    test_guests::clock::wait(test_guests::clock::MILLISECOND, || false);
    let (first, last): (u64, u64);
    // SAFETY: as above.
    unsafe { asm!("movq {}, xmm0", "movq {}, xmm15", out(reg) first, out(reg) last, options(nostack, nomem)) }
    check_eq!((first, last), (u64::MAX, u64::MAX >> 12));
    Ok(())
}

pub fn fpu() -> Outcome {
    let (mut word, mut status) = (0_u16, 0_u16);
    let mut number = 0_u64;
    // SAFETY: the program itself does not use the FPU; the memory is the locals'.
    unsafe {
        asm!("fninit", "fnstcw [{w}]", "fnstsw [{s}]", "fld1", "fldpi", "faddp st(1), st", "fistp qword ptr [{n}]",
             w = in(reg) &raw mut word, s = in(reg) &raw mut status, n = in(reg) &raw mut number);
    }
    check_eq!((word, status, number), (0x37f, 0, 4));
    Ok(())
}

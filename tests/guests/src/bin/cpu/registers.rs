//! CPUID, MSRs, control and debug registers.
#![allow(unsafe_code, reason = "instructions")]

use core::arch::asm;

use test_guests::apic::{BASE_BOOT_CPU, BASE_ENABLED};
use test_guests::cpu::{self, MSR_APIC_BASE, MSR_EFER, MSR_GS_BASE};
use test_guests::suite::Outcome;
use test_guests::trap::PROTECTION;
use test_guests::{attempt, check, check_eq};

const MSR_TSC: u32 = 0x10;
const MSR_PAT: u32 = 0x277;
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_FMASK: u32 = 0xc000_0084;
const MSR_FS_BASE: u32 = 0xc000_0100;
const MSR_KERNEL_GS_BASE: u32 = 0xc000_0102;

pub fn cpuid_is_stable() -> Outcome {
    let highest = cpu::cpuid(0, 0).eax;
    check!(highest >= 7, "highest leaf {highest}");
    for leaf in [0, 2, 7, 0x8000_0000, 0x8000_0001, 0x8000_0008] {
        check_eq!(cpu::cpuid(leaf, 0), cpu::cpuid(leaf, 0), "leaf {leaf:#x}");
    }
    let features = cpu::cpuid(1, 0);
    for (bit, name) in [(4, "TSC"), (5, "MSR"), (6, "PAE"), (9, "APIC"), (25, "SSE"), (26, "SSE2")] {
        check!(features.edx & 1 << bit != 0, "no {name}");
    }
    check!(cpu::cpuid(0x8000_0001, 0).edx & 1 << 29 != 0, "no long mode");
    let width = cpu::cpuid(0x8000_0008, 0).eax & 0xff;
    check!((36..=52).contains(&width), "{width} address bits");
    // OSXSAVE shows CR4.
    let cr4 = cpu::cr4();
    if features.ecx & 1 << 26 != 0 {
        cpu::set_cr4(cr4 | 1 << 18)?;
        check!(cpu::cpuid(1, 0).ecx & 1 << 27 != 0);
        cpu::set_cr4(cr4 & !(1 << 18))?;
        check_eq!(cpu::cpuid(1, 0).ecx & 1 << 27, 0);
        cpu::set_cr4(cr4)?;
    }
    Ok(())
}

pub fn known_msrs() -> Outcome {
    let base = cpu::rdmsr(MSR_APIC_BASE)?;
    check!(base & BASE_ENABLED != 0 && base & BASE_BOOT_CPU != 0 && base >> 12 == 0xfee00, "{base:#x}");
    // Where it is not intercepted, QEMU 7.2 reads the TSC's MSR as 0: that it can be read is all there is to say.
    cpu::rdmsr(MSR_TSC)?;
    for (msr, value) in [
        (MSR_STAR, 0x0023_0010_0000_0000),
        (MSR_LSTAR, 0xffff_ffff_8123_4567),
        (MSR_FMASK, 0x700),
        (MSR_KERNEL_GS_BASE, 0x7fff_1234_5678),
        (MSR_PAT, 0x0007_0406_0007_0406),
        (0x174, 0x10),
        (0x176, 0xffff_8000_0000_1234),
    ] {
        let old = cpu::rdmsr(msr)?;
        cpu::wrmsr(msr, value)?;
        check_eq!(cpu::rdmsr(msr)?, value, "MSR {msr:#x}");
        cpu::wrmsr(msr, old)?;
    }
    Ok(())
}

pub fn unknown_msrs() -> Outcome {
    for msr in [0x5555, 0x4000_0fff, 0xdead_beef, 0xc000_5555, u32::MAX] {
        let read = cpu::rdmsr(msr);
        check!(read.is_err_and(|trap| trap.vector == PROTECTION), "reading {msr:#x}: {read:x?}");
        let written = cpu::wrmsr(msr, 0);
        check!(written.is_err_and(|trap| trap.vector == PROTECTION), "writing {msr:#x}: {written:?}");
    }
    Ok(())
}

pub fn efer() -> Outcome {
    let efer = cpu::rdmsr(MSR_EFER)?;
    check_eq!(efer & 0xd00, 0xd00, "long mode, active, no-execute");
    cpu::wrmsr(MSR_EFER, efer | 1)?;
    check_eq!(cpu::rdmsr(MSR_EFER)? & 1, 1);
    cpu::wrmsr(MSR_EFER, efer)?;
    for value in [efer | 1 << 40, efer & !(1 << 8)] {
        let refused = cpu::wrmsr(MSR_EFER, value);
        check!(refused.is_err_and(|trap| trap.vector == PROTECTION), "EFER {value:#x}: {refused:?}");
    }
    // A virtual machine monitor needs more than a guest has.
    check!(cpu::wrmsr(MSR_EFER, efer | 1 << 12).is_err() || cpu::cpuid(0x8000_0001, 0).ecx & 4 != 0);
    check_eq!(cpu::rdmsr(MSR_EFER)?, efer);
    Ok(())
}

/// Only good values: bad ones are the processor's to refuse, and QEMU 7.2 takes many of them.
pub fn control_registers() -> Outcome {
    let (cr0, cr4) = (cpu::cr0(), cpu::cr4());
    check!(cr0 & 0x8001_0001 == 0x8001_0001, "CR0 {cr0:#x}");
    // Bits that may change do.
    cpu::set_cr0(cr0 | 8)?;
    check_eq!(cpu::cr0() & 8, 8, "TS");
    cpu::set_cr0(cr0)?;
    cpu::set_cr4(cr4 | 4)?;
    check_eq!(cpu::cr4() & 4, 4, "TSD");
    cpu::set_cr4(cr4)?;
    let (priority, old): (u64, u64);
    // SAFETY: the task priority only holds back interrupts, which are off.
    unsafe {
        asm!("mov {old}, cr8", "mov {t}, 9", "mov cr8, {t}", "mov {new}, cr8", "mov cr8, {old}",
             old = out(reg) old, t = out(reg) _, new = out(reg) priority, options(nostack));
    }
    check_eq!((priority, old), (9, 0));
    Ok(())
}

pub fn debug_registers() -> Outcome {
    let (dr0, dr3, dr7): (u64, u64, u64);
    // SAFETY: no breakpoint is enabled.
    unsafe {
        asm!("mov {t}, 0x1234567", "mov dr0, {t}", "mov {t}, 0x7654321", "mov dr3, {t}",
             "mov {a}, dr0", "mov {b}, dr3", "mov {c}, dr7",
             t = out(reg) _, a = out(reg) dr0, b = out(reg) dr3, c = out(reg) dr7, options(nostack));
    }
    check_eq!((dr0, dr3), (0x123_4567, 0x765_4321));
    check_eq!(dr7 & 0x400, 0x400, "the bit that is always set");
    check_eq!(dr7 & 0xff, 0);
    Ok(())
}

pub fn segment_bases() -> Outcome {
    let old = cpu::rdmsr(MSR_FS_BASE)?;
    let value = 0x1234_5678_u64;
    cpu::wrmsr(MSR_FS_BASE, (&raw const value).addr() as u64)?;
    let read: u64;
    // SAFETY: FS begins at `value`.
    unsafe { attempt!("mov {read}, fs:[0]"; read = out(reg) read) }?;
    cpu::wrmsr(MSR_FS_BASE, old)?;
    check_eq!(read, value);
    check!(cpu::rdmsr(MSR_GS_BASE)? != 0);
    // SWAPGS twice is nothing.
    let other = cpu::rdmsr(MSR_KERNEL_GS_BASE)?;
    // SAFETY: no interrupt comes in between.
    unsafe { asm!("swapgs", "swapgs", options(nostack)) }
    check_eq!(cpu::rdmsr(MSR_KERNEL_GS_BASE)?, other);
    Ok(())
}

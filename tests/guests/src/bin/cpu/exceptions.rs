//! Exceptions reach the guest with the right vector and error code.
#![allow(unsafe_code, reason = "instructions that fault")]

use core::sync::atomic::{AtomicU64, Ordering};

use test_guests::paging::{self, NON_CANONICAL, Page, UNMAPPED};
use test_guests::suite::Outcome;
use test_guests::trap::{self, BREAKPOINT, Frame, PAGE_FAULT, PROTECTION, Trap, UNDEFINED};
use test_guests::{attempt, check_eq};

const DEBUG: u8 = 1;

fn vector(result: Result<(), Trap>) -> Option<u8> {
    result.err().map(|trap| trap.vector)
}

pub fn simple_ones() -> Outcome {
    // SAFETY: each of them faults, or changes a scratch register.
    unsafe {
        let divide = attempt!("xor edx, edx", "xor ecx, ecx", "div ecx"; out("ecx") _, inout("eax") 1 => _, out("edx") _);
        check_eq!(vector(divide), Some(0));
        check_eq!(vector(attempt!("ud2")), Some(UNDEFINED));
        check_eq!(vector(attempt!(".byte 0x06")), Some(UNDEFINED), "an instruction of 32-bit mode");
        let selector = attempt!("mov ds, {s:x}"; s = in(reg) 0xfff8_u32);
        check_eq!(selector.err().map(|trap| (trap.vector, trap.error)), Some((PROTECTION, 0xfff8)));
        // Instructions of other virtualization interfaces are not there.
        for result in [
            attempt!("vmrun rax"; in("rax") 0),
            attempt!("vmload rax"; in("rax") 0),
            attempt!("stgi"),
            attempt!("clgi"),
            attempt!("skinit eax"; in("eax") 0),
        ] {
            check_eq!(vector(result), Some(UNDEFINED));
        }
        // So is MONITOR where CPUID does not offer it.
        if test_guests::cpu::cpuid(1, 0).ecx & 8 == 0 {
            check_eq!(
                vector(attempt!("monitor"; in("rax") 0x1000, in("ecx") 0, in("edx") 0)),
                Some(UNDEFINED)
            );
        }
    }
    Ok(())
}

pub fn page_fault_codes() -> Outcome {
    let readonly = paging::map(10, Page::new().address(), paging::PRESENT);
    let reserved = paging::map(11, 0, paging::PRESENT | 1 << 51);
    // SAFETY: the accesses fault.
    unsafe {
        let read = attempt!("mov {v}, [{a}]"; v = out(reg) _, a = in(reg) UNMAPPED + 0x123);
        check_eq!(
            read.err().map(|t| (t.vector, t.error, t.address)),
            Some((PAGE_FAULT, 0, UNMAPPED + 0x123))
        );
        let write = attempt!("mov [{a}], {v}"; v = in(reg) 1_u64, a = in(reg) UNMAPPED);
        check_eq!(write.err().map(|t| (t.vector, t.error)), Some((PAGE_FAULT, 2)));
        let write = attempt!("mov [{a}], {v}"; v = in(reg) 1_u64, a = in(reg) readonly + 8);
        check_eq!(write.err().map(|t| (t.vector, t.error, t.address)), Some((PAGE_FAULT, 3, readonly + 8)));
        let bits = attempt!("mov {v}, [{a}]"; v = out(reg) _, a = in(reg) reserved);
        // QEMU 7.2 forgets that the page is present.
        check_eq!(bits.err().map(|t| (t.vector, t.error | 1)), Some((PAGE_FAULT, 9)), "a reserved bit");
    }
    paging::map(10, 0, 0);
    paging::map(11, 0, 0);
    Ok(())
}

static STEPS: AtomicU64 = AtomicU64::new(0);

fn step(frame: &mut Frame) {
    STEPS.fetch_add(1, Ordering::SeqCst);
    // Three are enough.
    if STEPS.load(Ordering::SeqCst) == 3 {
        frame.rflags &= !0x100;
    }
}

/// The trap flag: also over instructions that the hypervisor carries out.
pub fn single_step() -> Outcome {
    trap::set_up(DEBUG, false, Some(step));
    STEPS.store(0, Ordering::SeqCst);
    // SAFETY: the handler ends the stepping.
    unsafe {
        core::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "cpuid", "nop", "nop", "nop",
            inout("eax") 0 => _, inout("ecx") 0 => _, lateout("edx") _, options(preserves_flags));
    }
    trap::set_up(DEBUG, false, None);
    check_eq!(STEPS.load(Ordering::SeqCst), 3);
    Ok(())
}

pub fn non_canonical() -> Outcome {
    // SAFETY: the access faults.
    let read = unsafe { attempt!("mov {v}, [{a}]"; v = out(reg) _, a = in(reg) NON_CANONICAL) };
    check_eq!(read.err().map(|t| (t.vector, t.error)), Some((PROTECTION, 0)));
    // SAFETY: so does the jump, before it arrives.
    let jump = unsafe { attempt!("jmp {a}"; a = in(reg) NON_CANONICAL) };
    check_eq!(vector(jump), Some(PROTECTION));
    // SAFETY: this one faults where it arrives.
    let jump = unsafe { attempt!("jmp {a}"; a = in(reg) UNMAPPED) };
    check_eq!(jump.err().map(|t| (t.vector, t.address)), Some((PAGE_FAULT, UNMAPPED)));
    Ok(())
}

pub fn software_interrupts() -> Outcome {
    trap::set_up(BREAKPOINT, false, Some(|_| ()));
    trap::set_up(0x80, false, None);
    // SAFETY: both have handlers.
    unsafe { core::arch::asm!("int3", "int 0x80", "int 0x80") };
    check_eq!((trap::hits(BREAKPOINT), trap::hits(0x80)), (1, 2));
    trap::set_up(BREAKPOINT, false, None);
    Ok(())
}

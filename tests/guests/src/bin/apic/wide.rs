//! x2APIC mode.

use test_guests::apic::{self, BASE_ENABLED, BASE_X2APIC, IRR, SELF_IPI};
use test_guests::clock::{self, MILLISECOND};
use test_guests::cpu::{self, MSR_APIC_BASE};
use test_guests::suite::{self, Outcome};
use test_guests::trap::PROTECTION;
use test_guests::{attempt, check, check_eq, trap};

const VECTOR: u8 = 0x71;

fn refused(result: Result<(), trap::Trap>) -> bool {
    result.is_err_and(|trap| trap.vector == PROTECTION)
}

pub fn switch_on() -> Outcome {
    if cpu::cpuid(1, 0).ecx & 1 << 21 == 0 {
        return suite::skip("no x2APIC");
    }
    check!(cpu::rdmsr(0x802).is_err() || apic::is_x2apic(), "the registers are not there before the switch");
    let base = cpu::rdmsr(MSR_APIC_BASE)?;
    let spurious = apic::read(apic::SPURIOUS);
    cpu::wrmsr(MSR_APIC_BASE, base | BASE_X2APIC)?;
    check!(apic::is_x2apic());
    check_eq!(apic::read(apic::SPURIOUS), spurious, "the registers are the same ones");
    Ok(())
}

pub fn same_identity() -> Outcome {
    let id = apic::id();
    check_eq!(id, cpu::cpuid(1, 0).ebx >> 24);
    check_eq!(apic::read(apic::LDR), (id >> 4) << 16 | 1 << (id & 15));
    Ok(())
}

pub fn self_ipi_register() -> Outcome {
    trap::set_up(VECTOR, true, None);
    cpu::wrmsr(0x800 + SELF_IPI, VECTOR.into())?;
    check!(apic::bit(IRR, VECTOR));
    cpu::sti();
    check!(clock::wait(100 * MILLISECOND, || trap::hits(VECTOR) == 1));
    cpu::cli();
    Ok(())
}

pub fn bad_registers() -> Outcome {
    for register in [apic::ID, apic::VERSION, apic::PPR, apic::ISR, IRR, apic::TIMER_CURRENT] {
        check!(refused(cpu::wrmsr(0x800 + register, 0)), "register {register:#x} can only be read");
    }
    check!(cpu::rdmsr(0x800 + SELF_IPI).is_err(), "it can only be written");
    check!(cpu::rdmsr(0x800 + apic::DFR).is_err(), "there is none in this mode");
    check!(refused(cpu::wrmsr(0x800 + apic::EOI, 1)), "only 0");
    check!(refused(cpu::wrmsr(0x800 + apic::TPR, 0x100)));
    check!(refused(cpu::wrmsr(0x800 + SELF_IPI, 0x100)));
    check!(cpu::rdmsr(0x8ff).is_err());
    Ok(())
}

/// From here one gets to xAPIC mode only by switching off.
pub fn no_way_back() -> Outcome {
    let base = cpu::rdmsr(MSR_APIC_BASE)?;
    check!(refused(cpu::wrmsr(MSR_APIC_BASE, base & !BASE_X2APIC)));
    check!(refused(cpu::wrmsr(MSR_APIC_BASE, base & !BASE_ENABLED)), "this mode is no mode");
    check!(refused(cpu::wrmsr(MSR_APIC_BASE, base | 1 << 60)), "a reserved bit");
    check_eq!(cpu::rdmsr(MSR_APIC_BASE)?, base);
    Ok(())
}

#[allow(unsafe_code, reason = "instructions")]
fn cr8() -> u64 {
    let value;
    // SAFETY: a read.
    unsafe { core::arch::asm!("mov {}, cr8", out(reg) value, options(nomem, nostack)) }
    value
}

/// The register is one of those that need a prefix of their own.
#[allow(unsafe_code, reason = "instructions")]
fn set_cr8(value: u64) -> Result<(), trap::Trap> {
    // SAFETY: interrupts that come are handled.
    unsafe { attempt!("mov cr8, r12"; in("r12") value) }
}

/// The task priority by its two names.
pub fn task_priority_is_cr8() -> Outcome {
    cpu::wrmsr(0x800 + apic::TPR, 0x70)?;
    check_eq!(cr8(), 7);
    set_cr8(3)?;
    check_eq!(cpu::rdmsr(0x800 + apic::TPR)?, 0x30);
    // It has 4 bits. QEMU 7.2, where it is not intercepted, drops the others.
    check!(refused(set_cr8(0x10)) || cr8() == 0);
    set_cr8(0)?;
    check_eq!(cpu::rdmsr(0x800 + apic::TPR)?, 0);
    Ok(())
}

/// CR8 holds an interrupt back, and lets it in. Not on stock Xen: it relies on the processor's virtual task priority,
/// with which QEMU 7.2 ends by a failed assertion of its own.
pub fn cr8_counts() -> Outcome {
    trap::set_up(VECTOR, true, None);
    for priority in [7, 15] {
        let before = trap::hits(VECTOR);
        set_cr8(priority)?;
        cpu::wrmsr(0x800 + SELF_IPI, VECTOR.into())?;
        cpu::sti();
        clock::wait(2 * MILLISECOND, || false);
        check_eq!(trap::hits(VECTOR), before, "it came below priority {priority}");
        set_cr8(6)?;
        check!(clock::wait(100 * MILLISECOND, || trap::hits(VECTOR) == before + 1));
        cpu::cli();
    }
    set_cr8(0)?;
    Ok(())
}

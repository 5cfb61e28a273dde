//! One APIC by itself, in the mode it starts in.

use test_guests::abi::vcpu;
use test_guests::apic::{self, BASE_BOOT_CPU, BASE_ENABLED, ICR, IRR, ISR, PPR, SPURIOUS, TPR};
use test_guests::clock::{self, MILLISECOND};
use test_guests::cpu::{self, MSR_APIC_BASE};
use test_guests::suite::Outcome;
use test_guests::{call, check, check_eq, trap};

/// The shorthand for oneself.
const SELF: u32 = 1 << 18;
const LOW: u8 = 0x41;
const HIGH: u8 = 0x91;

fn send(vector: u8) {
    apic::write(ICR, SELF | u32::from(vector));
}

fn wait_for(vector: u8, hits: u64) -> bool {
    clock::wait(100 * MILLISECOND, || trap::hits(vector) >= hits)
}

pub fn identity() -> Outcome {
    let base = cpu::rdmsr(MSR_APIC_BASE)?;
    check!(base & BASE_ENABLED != 0 && base & BASE_BOOT_CPU != 0, "{base:#x}");
    check_eq!(apic::id(), cpu::cpuid(1, 0).ebx >> 24);
    let version = apic::read(apic::VERSION);
    check!((0x10..=0x1f).contains(&(version & 0xff)), "version {version:#x}");
    check!(version >> 16 & 0xff >= 3, "LVT entries: {version:#x}");
    check!(cpu::cpuid(1, 0).edx & 1 << 9 != 0);
    Ok(())
}

/// Everything is off and empty. The local interrupt pins may be set up by whoever started the guest.
pub fn after_reset() -> Outcome {
    check_eq!(apic::read(TPR), 0);
    check!(apic::read(apic::LVT_TIMER) & 1 << 16 != 0, "the timer is masked");
    check!(apic::read(apic::LVT_ERROR) & 1 << 16 != 0, "so are errors");
    for i in 0..8 {
        check_eq!((apic::read(ISR + i), apic::read(IRR + i)), (0, 0), "word {i}");
    }
    check_eq!(apic::read(apic::TIMER_INITIAL), 0);
    Ok(())
}

pub fn self_ipi() -> Outcome {
    apic::enable();
    check_eq!(apic::read(SPURIOUS) & 0x1ff, 0x1ff);
    trap::set_up(LOW, true, None);
    send(LOW);
    check!(apic::bit(IRR, LOW), "requested while interrupts are off");
    check_eq!(trap::hits(LOW), 0);
    cpu::sti();
    check!(wait_for(LOW, 1));
    cpu::cli();
    check!(!apic::bit(IRR, LOW) && !apic::bit(ISR, LOW));
    Ok(())
}

/// The higher vector comes first, and the lower one only after its end.
pub fn priorities() -> Outcome {
    trap::set_up(LOW, true, None);
    trap::set_up(HIGH, false, None);
    send(LOW);
    send(HIGH);
    cpu::sti();
    check!(wait_for(HIGH, 1));
    clock::wait(2 * MILLISECOND, || false);
    cpu::cli();
    check_eq!(trap::hits(LOW), 0, "the higher one is still in service");
    check!(apic::bit(ISR, HIGH) && apic::bit(IRR, LOW));
    check_eq!(apic::read(PPR) & 0xf0, u32::from(HIGH) & 0xf0);
    apic::acknowledge();
    check!(!apic::bit(ISR, HIGH));
    cpu::sti();
    check!(wait_for(LOW, 1));
    cpu::cli();
    Ok(())
}

pub fn task_priority() -> Outcome {
    trap::set_up(LOW, true, None);
    apic::write(TPR, 0x50);
    check_eq!(apic::read(PPR), 0x50);
    send(LOW);
    cpu::sti();
    clock::wait(2 * MILLISECOND, || false);
    check_eq!(trap::hits(LOW), 0, "the task is more important");
    apic::write(TPR, 0x30);
    check!(wait_for(LOW, 1));
    cpu::cli();
    apic::write(TPR, 0);
    Ok(())
}

/// A vector that is requested twice before it is taken comes once; one more while it is in service comes again.
pub fn one_of_each_waits() -> Outcome {
    trap::set_up(LOW, false, None);
    send(LOW);
    send(LOW);
    cpu::sti();
    check!(wait_for(LOW, 1));
    send(LOW);
    send(LOW);
    clock::wait(2 * MILLISECOND, || false);
    check_eq!(trap::hits(LOW), 1);
    apic::acknowledge();
    check!(wait_for(LOW, 2));
    apic::acknowledge();
    clock::wait(2 * MILLISECOND, || false);
    cpu::cli();
    check_eq!(trap::hits(LOW), 2);
    Ok(())
}

/// Switched off by software, the entries of the local vector table are masked and stay so.
pub fn software_disabled() -> Outcome {
    apic::write(apic::LVT_TIMER, 0x51);
    check_eq!(apic::read(apic::LVT_TIMER) & 1 << 16, 0);
    apic::write(SPURIOUS, 0xff);
    check!(apic::read(apic::LVT_TIMER) & 1 << 16 != 0);
    apic::write(apic::LVT_TIMER, 0x51);
    check!(apic::read(apic::LVT_TIMER) & 1 << 16 != 0);
    apic::enable();
    Ok(())
}

/// An NMI comes although interrupts are off.
pub fn nmi() -> Outcome {
    trap::set_up(trap::NMI, false, None);
    for count in 1..4 {
        call::vcpu_plain(vcpu::OP_SEND_NMI, 0)?;
        check!(wait_for(trap::NMI, count), "{} of {count}", trap::hits(trap::NMI));
    }
    check_eq!(trap::hits(trap::NMI), 3);
    Ok(())
}

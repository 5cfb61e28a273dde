//! The local APIC's timer.

use test_guests::apic::{self, LVT_TIMER, TIMER_CURRENT, TIMER_DIVIDE, TIMER_INITIAL};
use test_guests::clock::{self, MILLISECOND, SECOND};
use test_guests::cpu::{self, MSR_TSC_DEADLINE};
use test_guests::suite::{self, Outcome};
use test_guests::{check, check_eq, trap};

const VECTOR: u8 = 0x51;
const MASKED: u32 = 1 << 16;
const PERIODIC: u32 = 1 << 17;
const DEADLINE: u32 = 1 << 18;
/// Divide by 1.
const BY_ONE: u32 = 0xb;

fn prepare(mode: u32) {
    apic::enable();
    apic::write(TIMER_INITIAL, 0);
    apic::write(TIMER_DIVIDE, BY_ONE);
    apic::write(LVT_TIMER, u32::from(VECTOR) | mode);
    trap::set_up(VECTOR, true, None);
}

/// Counts of the timer in 10 ms.
fn counts() -> u64 {
    prepare(MASKED);
    apic::write(TIMER_INITIAL, u32::MAX);
    let (start, from) = (clock::now(), apic::read(TIMER_CURRENT));
    clock::wait(10 * MILLISECOND, || false);
    let (end, to) = (clock::now(), apic::read(TIMER_CURRENT));
    apic::write(TIMER_INITIAL, 0);
    u64::from(from - to) * 10 * MILLISECOND / (end - start)
}

pub fn one_shot() -> Outcome {
    let counts = counts();
    check!(counts > 1000, "{counts} counts in 10 ms");
    prepare(0);
    let start = clock::now();
    apic::write(TIMER_INITIAL, counts as u32);
    cpu::sti();
    check!(clock::wait(SECOND, || trap::hits(VECTOR) == 1), "{} hits", trap::hits(VECTOR));
    let taken = clock::now() - start;
    // What measuring the frequency is worth: a tenth.
    check!(taken >= 9 * MILLISECOND, "10 ms took {} us", taken / 1000);
    clock::wait(30 * MILLISECOND, || false);
    cpu::cli();
    check_eq!(trap::hits(VECTOR), 1);
    check_eq!(apic::read(TIMER_CURRENT), 0);
    check!(!apic::bit(apic::ISR, VECTOR) && !apic::bit(apic::IRR, VECTOR));
    Ok(())
}

pub fn periodic() -> Outcome {
    let counts = counts();
    prepare(PERIODIC);
    let start = clock::now();
    apic::write(TIMER_INITIAL, counts as u32);
    cpu::sti();
    check!(clock::wait(2 * SECOND, || trap::hits(VECTOR) >= 6), "{} hits", trap::hits(VECTOR));
    let taken = clock::now() - start;
    check!(taken >= 50 * MILLISECOND, "6 periods of 10 ms took {} us", taken / 1000);
    apic::write(TIMER_INITIAL, 0);
    clock::wait(20 * MILLISECOND, || false);
    let hits = trap::hits(VECTOR);
    clock::wait(30 * MILLISECOND, || false);
    cpu::cli();
    check_eq!(trap::hits(VECTOR), hits, "after it was stopped");
    Ok(())
}

pub fn masked() -> Outcome {
    let counts = counts();
    prepare(MASKED);
    apic::write(TIMER_INITIAL, counts as u32 / 10);
    cpu::sti();
    clock::wait(20 * MILLISECOND, || false);
    cpu::cli();
    check_eq!(trap::hits(VECTOR), 0);
    check!(!apic::bit(apic::IRR, VECTOR));
    Ok(())
}

pub fn deadline() -> Outcome {
    if cpu::cpuid(1, 0).ecx & 1 << 24 == 0 {
        return suite::skip("no TSC deadline");
    }
    prepare(DEADLINE);
    for time in [MILLISECOND, 5 * MILLISECOND] {
        trap::set_up(VECTOR, true, None);
        let due = cpu::tsc() + clock::ticks(time);
        cpu::wrmsr(MSR_TSC_DEADLINE, due)?;
        let told = cpu::rdmsr(MSR_TSC_DEADLINE)?;
        check!(told == due || told == 0 && cpu::tsc() >= due, "{told:#x}, not {due:#x}");
        cpu::sti();
        check!(clock::wait(SECOND, || trap::hits(VECTOR) == 1));
        cpu::cli();
        check!(trap::when(VECTOR) >= due, "{} ticks early", due - trap::when(VECTOR));
        check_eq!(cpu::rdmsr(MSR_TSC_DEADLINE)?, 0, "it is over");
    }
    // One in the past comes at once; 0 stops it.
    trap::set_up(VECTOR, true, None);
    cpu::wrmsr(MSR_TSC_DEADLINE, 1)?;
    cpu::sti();
    check!(clock::wait(SECOND, || trap::hits(VECTOR) == 1));
    cpu::cli();
    cpu::wrmsr(MSR_TSC_DEADLINE, cpu::tsc() + clock::ticks(10 * MILLISECOND))?;
    cpu::wrmsr(MSR_TSC_DEADLINE, 0)?;
    cpu::sti();
    clock::wait(30 * MILLISECOND, || false);
    cpu::cli();
    check_eq!(trap::hits(VECTOR), 1);
    apic::write(LVT_TIMER, MASKED);
    Ok(())
}

//! Clocks: they agree, and none runs backwards.

use core::mem::offset_of;

use test_guests::abi::guest;
use test_guests::abi::hvm::{GetTime, OP_GET_TIME};
use test_guests::abi::xen::SharedInfo;
use test_guests::clock::{self, MICROSECOND, MILLISECOND, SECOND};
use test_guests::suite::Outcome;
use test_guests::{call, check, check_eq, cpu, shared};

pub fn monotonic() -> Outcome {
    let (mut tsc, mut last) = (cpu::tsc(), clock::now());
    for _ in 0..20_000 {
        let (next_tsc, next) = (cpu::tsc(), clock::now());
        check!(next_tsc >= tsc, "the TSC went from {tsc:#x} to {next_tsc:#x}");
        check!(next >= last, "system time went from {last} to {next}");
        (tsc, last) = (next_tsc, next);
    }
    Ok(())
}

/// The clock's factor and the frequency in CPUID are the same within a thousandth.
pub fn frequency() -> Outcome {
    let base = guest::cpuid_base().unwrap_or_default();
    let khz = u64::from(cpu::cpuid(base + 3, 0).ecx);
    check!(khz >= 100_000, "{khz} kHz");
    let ticks = clock::ticks(SECOND) / 1000;
    check!(ticks.abs_diff(khz) <= khz / 1000, "{ticks} kHz by the clock, {khz} kHz by CPUID");
    check_eq!(u64::from(cpu::cpuid(base + 3, 2).eax) / 1000, khz / 1000, "the host's frequency");
    Ok(())
}

/// The shared clock and the hypervisor's answer.
pub fn agree() -> Outcome {
    for _ in 0..50 {
        let before = clock::now();
        let mut time = GetTime { now: 0 };
        call::hvm(OP_GET_TIME, &mut time)?;
        let after = clock::now();
        let tolerance = 20 * MICROSECOND;
        check!(before <= time.now + tolerance && time.now <= after + tolerance, "{before} {time:?} {after}");
    }
    let before = clock::now();
    clock::wait(20 * MILLISECOND, || false);
    check!(clock::now() - before >= 20 * MILLISECOND);
    Ok(())
}

pub fn wall_clock() -> Outcome {
    let version = offset_of!(SharedInfo, wc_version) as u64;
    let read = || {
        let page = shared::page();
        (page.get::<u32>(version), page.get::<u32>(version + 4), page.get::<u32>(version + 8))
    };
    let (version, seconds, nanoseconds) = read();
    check_eq!(version % 2, 0);
    // Midnight of 1 January 2020; the machine's clock is set to the present.
    check!(u64::from(seconds) + clock::now() / SECOND > 1_577_836_800, "{seconds} s since 1970");
    check!(nanoseconds < 1_000_000_000);
    check_eq!(read(), (version, seconds, nanoseconds));
    Ok(())
}

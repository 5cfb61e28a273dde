//! A guest that always wants its CPU. Every second (with `tenths` on its command line, every tenth of one) it says which part of that time it had, by the work that it has done:
//! on a machine whose time counts instructions, a piece of work that nobody interrupts takes always as long. With a word
//! on its command line it does something else in a tight loop, and says nothing: `yields`, `halts`, `timers`, `ipis`.
#![no_std]
#![no_main]

use core::hint::black_box;

use test_guests::abi::hvm::{CALLBACK_TYPE_VECTOR, PARAM_CALLBACK_IRQ};
use test_guests::abi::sched::OP_YIELD;
use test_guests::abi::xen::{HYPERCALL_SCHED_OP, HYPERCALL_SET_TIMER_OP, VIRQ_TIMER};
use test_guests::call::Answer;
use test_guests::clock::{MICROSECOND, SECOND};
use test_guests::{apic, boot_info, call, clock, cpu, events, guest_program, say, shared, suite, trap};

const CALLBACK: u8 = 0x61;
const IPI: u8 = 0x71;

guest_program!({
    let line = boot_info::command_line();
    for word in line.split_whitespace() {
        let step: fn() -> Answer = match word {
            "yields" => || call::any(HYPERCALL_SCHED_OP, &[OP_YIELD.into()]),
            "halts" => halt,
            "timers" => || call::any(HYPERCALL_SET_TIMER_OP, &[clock::now() + MICROSECOND]),
            "ipis" => interrupt,
            _ => continue,
        };
        if let Err(e) = prepare() {
            suite::die(format_args!("{e:?}"));
        }
        loop {
            if let Err(e) = step() {
                suite::die(format_args!("{word}: {e:?}"));
            }
        }
    }
    let period = if line.contains("tenths") { SECOND / 10 } else { SECOND };
    let mut quickest = u64::MAX;
    let mut last = clock::now();
    loop {
        let (start, mut pieces) = (last, 0);
        while last - start < period {
            for i in 0..1000 {
                black_box(i);
            }
            let now = clock::now();
            quickest = quickest.min(now - last);
            pieces += 1;
            last = now;
        }
        say!("had {} permille", pieces * quickest * 1000 / (last - start));
    }
});

/// Interrupts and timer events are taken.
fn prepare() -> Answer {
    apic::enable();
    trap::set_up(IPI, true, None);
    trap::set_up(CALLBACK, false, Some(take));
    call::set_param(PARAM_CALLBACK_IRQ, u64::from(CALLBACK_TYPE_VECTOR) << 56 | u64::from(CALLBACK))?;
    let port = events::bind_virq(VIRQ_TIMER, 0)?;
    shared::set_masked(port, false);
    cpu::sti();
    Ok(0)
}

fn take(_: &mut trap::Frame) {
    let pending = shared::take_selector(0);
    for port in 0..if pending == 0 { 0 } else { 64 } {
        shared::clear_pending(port);
    }
}

/// Sleeps for as short as can be.
fn halt() -> Answer {
    cpu::cli();
    let answer = call::any(HYPERCALL_SET_TIMER_OP, &[clock::now() + MICROSECOND]);
    cpu::sti_hlt();
    answer
}

/// Interrupts itself.
fn interrupt() -> Answer {
    apic::send(apic::id(), IPI.into());
    Ok(0)
}

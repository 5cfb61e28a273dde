//! What single operations cost, for `cargo xtask bench`: one line `bench: NAME VALUE UNIT` each.
//!
//! Under `-icount shift=0` the time stamp counter counts instructions. Each operation is timed by itself many
//! times; the least counts, so that interrupts and first times drop out, less what reading the counter costs.
//!
//! With `switch` on its command line it measures how the CPU goes to another guest and back: the guest `busy` has to
//! run beside it and to give way all the time. With `wake`, how one of its two vCPUs wakes the other.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use test_guests::abi::event_channel::{OP_SEND, Send};
use test_guests::abi::grant_table::{self, CopyFlags, CopyPtr};
use test_guests::abi::hvm::{CALLBACK_TYPE_VECTOR, PARAM_CALLBACK_IRQ};
use test_guests::abi::memory::{DECREASE_RESERVATION, MemFlags, POPULATE_PHYSMAP, Reservation};
use test_guests::abi::xen::{DOMID_SELF, HYPERCALL_SCHED_OP, HYPERCALL_XEN_VERSION};
use test_guests::abi::{Handle64, sched};
use test_guests::apic::{self, BASE_X2APIC};
use test_guests::cpu::{self, MSR_APIC_BASE};
use test_guests::paging::Page;
use test_guests::suite::{self, Outcome};
use test_guests::{boot_info, call, check, clock, events, guest_program, say, shared, smp, trap};

const ROUNDS: usize = 400;

/// The vector of both vCPUs' upcalls.
const UPCALL: u8 = 0x61;

guest_program!({
    let reason = match measure() {
        Ok(()) => sched::SHUTDOWN_POWEROFF,
        Err(suite::Verdict::Failed(reason) | suite::Verdict::Skipped(reason)) => {
            say!("FAIL figures: {reason}");
            sched::SHUTDOWN_CRASH
        }
    };
    suite::shut_down(reason)
});

/// The least time of many, of `operation` alone.
fn least<B, T>(mut before: impl FnMut() -> B, mut operation: impl FnMut() -> T) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        before();
        let start = cpu::tsc();
        black_box(operation());
        least = least.min(cpu::tsc().wrapping_sub(start));
    }
    least
}

fn measure() -> Outcome {
    // What other domains still have to do after a start is done meanwhile.
    clock::wait(clock::SECOND, || false);
    let pair = least(|| (), || ());
    say!("bench: rdtsc-pair {pair} instructions");
    let figure = |name: &str, time: u64| say!("bench: {name} {} instructions", time.saturating_sub(pair));
    let yielding = [u64::from(sched::OP_YIELD)];
    match boot_info::command_line().split_whitespace().find(|word| ["switch", "wake"].contains(word)) {
        Some("switch") => {
            figure("vcpu-switch", least(|| (), || call::any(HYPERCALL_SCHED_OP, &yielding)) / 2);
            return Ok(());
        }
        Some(_) => return halt_and_wake(&figure),
        None => {}
    }
    figure("hypercall", least(|| (), || call::any(HYPERCALL_XEN_VERSION, &[])));
    figure("cpuid", least(|| (), || cpu::cpuid(0, 0)));
    figure("yield", least(|| (), || call::any(HYPERCALL_SCHED_OP, &yielding)));
    event_channels(&figure)?;
    interrupt_controller(&figure)?;
    grant_copy(&figure)?;
    balloon(&figure)?;
    one_hypercall_between_marks()
}

/// Bochs can write down what happens between the marks; elsewhere they do nothing.
#[allow(unsafe_code, reason = "an instruction")]
fn one_hypercall_between_marks() -> Outcome {
    // SAFETY: nothing but a register exchanged with itself.
    let mark = || unsafe { core::arch::asm!("xchg bx, bx", options(nomem, nostack, preserves_flags)) };
    mark();
    call::any(HYPERCALL_XEN_VERSION, &[])?;
    mark();
    Ok(())
}

fn event_channels(figure: &impl Fn(&str, u64)) -> Outcome {
    let receiver = events::alloc_unbound(DOMID_SELF)?;
    let port = events::bind_loop(receiver)?;
    shared::set_masked(receiver, true);
    let mut sent = 0;
    let time = least(
        || shared::clear_pending(receiver),
        || sent += u64::from(call::event(OP_SEND, &mut Send { port }).is_ok()),
    );
    check!(sent == ROUNDS as u64, "{sent} events were sent");
    check!(shared::is_pending(receiver));
    figure("event-send", time);
    Ok(())
}

/// The event by which the second vCPU is woken, and when it ran on last.
static PORT: AtomicU32 = AtomicU32::new(0);
static WOKEN: AtomicU64 = AtomicU64::new(0);

/// What the second vCPU does: it halts, and says when it runs on.
fn sleep() {
    loop {
        cpu::sti_hlt();
        WOKEN.store(cpu::tsc(), Ordering::SeqCst);
        cpu::cli();
        shared::clear_pending(PORT.load(Ordering::Relaxed));
    }
}

/// From one vCPU's sending of an event to the next instruction of another, which is halted and shares its CPU.
fn halt_and_wake(figure: &impl Fn(&str, u64)) -> Outcome {
    trap::set_up(UPCALL, false, Some(take_upcall));
    call::set_param(PARAM_CALLBACK_IRQ, u64::from(CALLBACK_TYPE_VECTOR) << 56 | u64::from(UPCALL))?;
    let port = events::bind_ipi(1)?;
    PORT.store(port, Ordering::Relaxed);
    check!(smp::start_by_call(1, sleep)?, "the second vCPU did not start");
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        // It is halted once it has not taken its turn.
        for _ in 0..2 {
            call::any(HYPERCALL_SCHED_OP, &[u64::from(sched::OP_YIELD)])?;
        }
        let start = cpu::tsc();
        events::send(port)?;
        check!(clock::wait(clock::SECOND, || WOKEN.load(Ordering::SeqCst) > start), "it sleeps on");
        least = least.min(WOKEN.load(Ordering::SeqCst) - start);
    }
    figure("halt-to-wake", least);
    Ok(())
}

fn take_upcall(_: &mut trap::Frame) {
    shared::take_selector(cpu::index() as u32);
}

fn interrupt_controller(figure: &impl Fn(&str, u64)) -> Outcome {
    let base = cpu::rdmsr(MSR_APIC_BASE)?;
    figure("rdmsr-apic-base", least(|| (), || msr(MSR_APIC_BASE)));
    cpu::wrmsr(MSR_APIC_BASE, base | BASE_X2APIC)?;
    check!(apic::is_x2apic());
    figure("x2apic-read", least(|| (), || msr(0x800 + apic::VERSION)));
    figure("x2apic-tpr-write", least(|| (), set_tpr));
    Ok(())
}

/// RDMSR without the preparations for a fault, which would count.
#[allow(unsafe_code, reason = "an instruction")]
fn msr(msr: u32) -> u32 {
    let low;
    // SAFETY: the MSR exists and was read before.
    unsafe { core::arch::asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") _, options(nomem, nostack)) }
    low
}

/// A write of the task priority register, for the same reason.
#[allow(unsafe_code, reason = "an instruction")]
fn set_tpr() {
    // SAFETY: the register exists and holds the same value.
    unsafe {
        core::arch::asm!("wrmsr", in("ecx") 0x800 + apic::TPR, in("eax") 0, in("edx") 0, options(nomem, nostack));
    }
}

fn grant_copy(figure: &impl Fn(&str, u64)) -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    from.fill(0x5a);
    let end =
        |page: Page| -> CopyPtr { CopyPtr { u: page.gfn(), domid: DOMID_SELF, offset: 0, _pad: [0; 4] } };
    let mut copy: grant_table::Copy = grant_table::Copy {
        source: end(from),
        dest: end(to),
        len: 4096,
        flags: CopyFlags::empty(),
        status: 1,
        _pad: [0; 2],
    };
    let time = least(|| (), || call::grant(grant_table::OP_COPY, &mut copy));
    check!(copy.status == grant_table::STATUS_OKAY, "status {}", copy.status);
    check!(to.get::<u64>(4088) == 0x5a5a_5a5a_5a5a_5a5a);
    figure("grant-copy-4KiB", time);
    Ok(())
}

fn balloon(figure: &impl Fn(&str, u64)) -> Outcome {
    let page = Page::new();
    let mut frame = page.gfn();
    let mut reservation: Reservation = Reservation {
        extent_start: Handle64::to(&raw mut frame),
        nr_extents: 1,
        extent_order: 0,
        mem_flags: MemFlags::empty(),
        domid: DOMID_SELF,
        _pad: [0; 6],
    };
    let mut done = 0;
    let time = least(
        || (),
        || {
            done += call::memory(DECREASE_RESERVATION, &mut reservation).unwrap_or(0);
            done += call::memory(POPULATE_PHYSMAP, &mut reservation).unwrap_or(0);
        },
    );
    check!(done == 2 * ROUNDS as u64, "{done} of {} calls succeeded", 2 * ROUNDS);
    page.set(0, 1_u64);
    figure("balloon-page", time);
    Ok(())
}

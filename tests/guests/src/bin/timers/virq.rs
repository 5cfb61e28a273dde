//! The timers that `vcpu_op` and `set_timer_op` set: they arrive as a virtual interrupt.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::Mutex;
use test_guests::abi::errno::Errno;
use test_guests::abi::hvm::{CALLBACK_TYPE_VECTOR, PARAM_CALLBACK_IRQ};
use test_guests::abi::sched;
use test_guests::abi::vcpu::*;
use test_guests::abi::xen::{HYPERCALL_SCHED_OP, HYPERCALL_SET_TIMER_OP, VIRQ_TIMER};
use test_guests::call::{self, Answer, refused};
use test_guests::clock::{self, MILLISECOND, SECOND};
use test_guests::suite::Outcome;
use test_guests::{apic, check, check_eq, cpu, events, shared, trap};

const CALLBACK: u8 = 0xf3;
/// The most that a timer may be late on a busy machine.
const LATE: u64 = SECOND;

static PORT: Mutex<Option<u32>> = Mutex::new(None);
/// The same for the interrupt handler; 0 if there is none.
static HANDLED: AtomicU32 = AtomicU32::new(0);

/// The timer's port, masked and not pending, with all timers stopped.
fn port() -> Result<u32, test_guests::abi::guest::HypercallError> {
    call::vcpu_plain(OP_STOP_PERIODIC_TIMER, 0)?;
    call::vcpu_plain(OP_STOP_SINGLESHOT_TIMER, 0)?;
    let mut slot = PORT.lock();
    let port = match *slot {
        Some(port) => port,
        None => events::bind_virq(VIRQ_TIMER, 0)?,
    };
    *slot = Some(port);
    HANDLED.store(port, Ordering::SeqCst);
    shared::set_masked(port, true);
    shared::clear_pending(port);
    events::clear_upcall(0);
    Ok(port)
}

fn set(timeout_abs_ns: u64, flags: SingleshotFlags) -> Answer {
    let mut op: SetSingleshotTimer = SetSingleshotTimer { timeout_abs_ns, flags, _pad: [0; 4] };
    call::vcpu(OP_SET_SINGLESHOT_TIMER, 0, &mut op)
}

/// What an upcall does: the port can be pending again afterwards.
fn take(_: &mut trap::Frame) {
    shared::take_selector(0);
    shared::clear_pending(HANDLED.load(Ordering::SeqCst));
}

fn upcalls_on() -> Answer {
    apic::enable();
    trap::set_up(CALLBACK, false, Some(take));
    call::set_param(PARAM_CALLBACK_IRQ, u64::from(CALLBACK_TYPE_VECTOR) << 56 | u64::from(CALLBACK))
}

/// Waits for the port; it must not be pending before `due`, and must be soon after.
fn comes(port: u32, due: u64) -> Outcome {
    loop {
        let pending = shared::is_pending(port);
        let now = clock::now();
        if pending {
            check!(now >= due, "{} ns early", due - now);
            return Ok(());
        }
        check!(now < due + LATE, "not there {} ms after it was due", (now - due) / MILLISECOND);
        cpu::relax();
    }
}

pub fn singleshot() -> Outcome {
    let port = port()?;
    for time in [MILLISECOND / 10, MILLISECOND, 3 * MILLISECOND, 10 * MILLISECOND] {
        for _ in 0..5 {
            let due = clock::now() + time;
            set(due, SingleshotFlags::empty())?;
            comes(port, due)?;
            shared::clear_pending(port);
        }
    }
    // Once is once.
    clock::wait(30 * MILLISECOND, || false);
    check!(!shared::is_pending(port));
    Ok(())
}

/// Never early, and no later than a tick of 1 ms, unless the machine was busy with something else: one of many counts.
pub fn singleshot_is_prompt() -> Outcome {
    let port = port()?;
    let mut quickest = u64::MAX;
    for step in 0..50 {
        let due = clock::now() + MILLISECOND + 37 * step;
        set(due, SingleshotFlags::empty())?;
        comes(port, due)?;
        quickest = quickest.min(clock::now() - due);
        shared::clear_pending(port);
    }
    check!(quickest < MILLISECOND, "always late, by {quickest} ns at least");
    Ok(())
}

pub fn singleshot_in_the_past() -> Outcome {
    let port = port()?;
    let past = clock::now() - 1;
    set(past, SingleshotFlags::empty())?;
    comes(port, past)?;
    shared::clear_pending(port);
    // Xen 4.17 ignores the flag; the header says that the time is refused then.
    match set(past, SingleshotFlags::FUTURE) {
        Ok(_) => comes(port, past),
        answer => {
            check_eq!(answer, refused(Errno::ETIME));
            clock::wait(5 * MILLISECOND, || false);
            check!(!shared::is_pending(port));
            Ok(())
        }
    }
}

pub fn stopped() -> Outcome {
    let port = port()?;
    set(clock::now() + 20 * MILLISECOND, SingleshotFlags::empty())?;
    call::vcpu_plain(OP_STOP_SINGLESHOT_TIMER, 0)?;
    clock::wait(40 * MILLISECOND, || false);
    check!(!shared::is_pending(port));
    // The last one set counts.
    set(clock::now() + 10 * SECOND, SingleshotFlags::empty())?;
    let due = clock::now() + 30 * MILLISECOND;
    set(due, SingleshotFlags::empty())?;
    comes(port, due)
}

pub fn timer_op() -> Outcome {
    let port = port()?;
    let due = clock::now() + 5 * MILLISECOND;
    check_eq!(call::any(HYPERCALL_SET_TIMER_OP, &[due]), Ok(0));
    comes(port, due)?;
    shared::clear_pending(port);
    call::any(HYPERCALL_SET_TIMER_OP, &[clock::now() + 20 * MILLISECOND])?;
    call::any(HYPERCALL_SET_TIMER_OP, &[0])?;
    clock::wait(40 * MILLISECOND, || false);
    check!(!shared::is_pending(port), "0 stops it");
    Ok(())
}

pub fn periodic() -> Outcome {
    let port = port()?;
    let period = 10 * MILLISECOND;
    let start = clock::now();
    call::vcpu(OP_SET_PERIODIC_TIMER, 0, &mut SetPeriodicTimer { period_ns: period })?;
    for ticks in 0..8 {
        check!(clock::wait(LATE, || shared::clear_pending(port)), "{ticks} ticks");
    }
    let taken = clock::now() - start;
    check!(taken >= 7 * period, "8 ticks of 10 ms in {} us", taken / 1000);
    call::vcpu_plain(OP_STOP_PERIODIC_TIMER, 0)?;
    shared::clear_pending(port);
    clock::wait(30 * MILLISECOND, || false);
    check!(!shared::is_pending(port));
    Ok(())
}

pub fn bad_arguments() -> Outcome {
    for period_ns in [1, 999_999, u64::MAX] {
        let answer = call::vcpu(OP_SET_PERIODIC_TIMER, 0, &mut SetPeriodicTimer { period_ns });
        check_eq!(answer, refused(Errno::EINVAL), "period {period_ns}");
    }
    for vcpu in [1000, u32::MAX] {
        check_eq!(call::vcpu_plain(OP_STOP_PERIODIC_TIMER, vcpu), refused(Errno::ENOENT));
    }
    check_eq!(call::vcpu_plain(63, 0), refused(Errno::ENOSYS));
    Ok(())
}

pub fn block_until() -> Outcome {
    let port = port()?;
    upcalls_on()?;
    shared::set_masked(port, false);
    // Wakes the vCPU again if the event came before it blocked.
    call::vcpu(OP_SET_PERIODIC_TIMER, 0, &mut SetPeriodicTimer { period_ns: SECOND / 2 })?;
    for _ in 0..5 {
        let due = clock::now() + 5 * MILLISECOND;
        set(due, SingleshotFlags::empty())?;
        cpu::sti();
        call::any(HYPERCALL_SCHED_OP, &[sched::OP_BLOCK.into()])?;
        let now = clock::now();
        check!(now >= due, "woken {} ns early", due - now);
        check!(now < due + LATE);
        check!(trap::hits(CALLBACK) > 0);
        cpu::cli();
    }
    call::vcpu_plain(OP_STOP_PERIODIC_TIMER, 0)?;
    Ok(())
}

pub fn halt_until() -> Outcome {
    let port = port()?;
    upcalls_on()?;
    shared::set_masked(port, false);
    for _ in 0..5 {
        let due = clock::now() + 3 * MILLISECOND;
        set(due, SingleshotFlags::empty())?;
        cpu::sti_hlt();
        cpu::cli();
        let now = clock::now();
        check!(now >= due, "woken {} ns early", due - now);
        check!(now < due + LATE && trap::hits(CALLBACK) > 0);
    }
    Ok(())
}

//! What the vCPU did with its time, and watchdogs.

use test_guests::abi::errno::Errno;
use test_guests::abi::plain::Plain;
use test_guests::abi::sched::{OP_POLL, OP_WATCHDOG, Poll, Watchdog};
use test_guests::abi::vcpu::*;
use test_guests::abi::xen::HYPERCALL_SCHED_OP;
use test_guests::call::{self, Answer, refused};
use test_guests::clock::{self, MILLISECOND};
use test_guests::paging::Page;
use test_guests::suite::Outcome;
use test_guests::{check, check_eq};

fn state() -> Result<RunstateInfo, test_guests::abi::guest::HypercallError> {
    let mut info: RunstateInfo = RunstateInfo::zeroed();
    call::vcpu(OP_GET_RUNSTATE_INFO, 0, &mut info).map(|_| info)
}

fn sleep(time: u64) -> Answer {
    let mut op: Poll = Poll::zeroed();
    op.timeout = clock::now() + time;
    call::sched(OP_POLL, &mut op)
}

/// The four times grow by as much as time went on.
pub fn adds_up() -> Outcome {
    let (start, first) = (clock::now(), state()?);
    check_eq!(first.state, RUNSTATE_RUNNING);
    clock::wait(20 * MILLISECOND, || false);
    sleep(20 * MILLISECOND)?;
    let (end, last) = (clock::now(), state()?);
    let grown: u64 = (0..4).map(|i| last.time[i] - first.time[i]).sum();
    let slack = 5 * MILLISECOND;
    check!(grown.abs_diff(end - start) <= slack, "{grown} ns of {} ns", end - start);
    check!(last.state_entry_time <= clock::now());
    Ok(())
}

/// Where the machine is busy with other things, the time may be over before the wait begins: one wait of many counts.
pub fn blocked_time() -> Outcome {
    let blocked = |info: &RunstateInfo| info.time[RUNSTATE_BLOCKED as usize];
    let mut most = 0;
    for _ in 0..20 {
        let first = state()?;
        sleep(30 * MILLISECOND)?;
        most = most.max(blocked(&state()?) - blocked(&first));
        if most >= 25 * MILLISECOND {
            return Ok(());
        }
    }
    check!(most >= 25 * MILLISECOND, "{most} ns of 30 ms");
    Ok(())
}

/// The registered area shows the same, without a call.
pub fn area() -> Outcome {
    let page = Page::new();
    let mut op = RegisterRunstateMemoryArea { addr: page.address() };
    call::vcpu(OP_REGISTER_RUNSTATE_MEMORY_AREA, 0, &mut op)?;
    let first: RunstateInfo = page.get(0);
    check_eq!(first.state, RUNSTATE_RUNNING);
    let blocked = RUNSTATE_BLOCKED as usize;
    let mut last = first;
    for _ in 0..20 {
        let before = last.time[blocked];
        sleep(10 * MILLISECOND)?;
        last = page.get(0);
        check_eq!(last.state, RUNSTATE_RUNNING);
        if last.time[blocked] - before >= 8 * MILLISECOND {
            break;
        }
    }
    check!(last.time[blocked] - first.time[blocked] >= 8 * MILLISECOND);
    check!(last.state_entry_time > first.state_entry_time);
    let told = state()?;
    check_eq!(told.time[blocked], last.time[blocked]);
    Ok(())
}

/// Xen returns 32 bits: an error is not sign-extended.
fn watchdog(id: u32, timeout: u32) -> Answer {
    let raw = call::raw(
        HYPERCALL_SCHED_OP,
        [OP_WATCHDOG.into(), call::address(&mut Watchdog { id, timeout }), 0, 0, 0],
    );
    test_guests::abi::guest::check(i64::from(raw as i32))
}

/// Set, fed and stopped; none of them runs out here.
pub fn watchdogs() -> Outcome {
    let first = watchdog(0, 60)? as u32;
    let second = watchdog(0, 60)? as u32;
    check!(first != 0 && second != 0 && first != second, "{first} and {second}");
    check_eq!(watchdog(0, 60), refused(Errno::ENOSPC), "a domain has two");
    check_eq!(watchdog(first, 30), Ok(0), "fed");
    check_eq!(watchdog(first, 0), Ok(0), "stopped");
    check_eq!(watchdog(first, 30), refused(Errno::EINVAL), "not there any more");
    check_eq!(watchdog(100, 30), refused(Errno::EINVAL));
    check_eq!(watchdog(second, 0), Ok(0));
    Ok(())
}

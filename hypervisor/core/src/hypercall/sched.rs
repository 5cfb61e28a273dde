//! `sched_op` (`public/sched.h`).

use hypercall_abi::abi::{Abi, Word};
use hypercall_abi::sched as abi;

use super::{Call, Machine, Outcome, Result, refuse};
use crate::domain::Requests;
use crate::evtchn::Poll;
use crate::ids::{Port, VcpuId};
use crate::time::Nanos;

/// The most ports that one poll names.
const MAX_POLL: usize = 128;

pub(super) fn sched_op<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, arg, ..] = call.args;
    match op as u32 {
        abi::OP_YIELD => call.hv.sched.yield_now(call.vcpu),
        abi::OP_BLOCK => block(call),
        abi::OP_SHUTDOWN => {
            let shutdown: abi::Shutdown = call.read(arg)?;
            call.hv.shutdown_domain(call.domain(), shutdown.reason);
        }
        abi::OP_POLL => return poll::<A, M>(call, arg),
        abi::OP_REMOTE_SHUTDOWN => {
            let arg: abi::RemoteShutdown = call.read(arg)?;
            let target = call.target(arg.domain_id)?;
            call.hv.shutdown_domain(&target, arg.reason);
        }
        abi::OP_SHUTDOWN_CODE => {
            let shutdown: abi::Shutdown = call.read(arg)?;
            call.domain().life.set_shutdown_code(shutdown.reason);
        }
        abi::OP_WATCHDOG => return watchdog(call, arg),
        op => refuse!(ENOSYS, "sched_op {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// Waits for an event. An upcall that is due already ends the wait at once: it is looked at before the vCPU stops.
fn block<M: Machine>(call: &mut Call<'_, M>) {
    call.context.upcall_waiting = true;
    call.context.irq_check = true;
    call.vcpu.sched.block();
}

fn poll<A: Abi, M: Machine>(call: &mut Call<'_, M>, arg: u64) -> Result {
    let poll: abi::Poll<A> = call.read(arg)?;
    let mut ports = [Port(0); MAX_POLL];
    let Some(ports) = ports.get_mut(..poll.nr_ports as usize) else {
        refuse!(EINVAL, "poll of {} ports, of which at most {MAX_POLL} are allowed", poll.nr_ports)
    };
    for (i, port) in (0..).zip(ports.iter_mut()) {
        *port = Port(call.read_element(poll.ports.get(), i)?);
    }
    if let Poll::Ready = call.domain().events.lock().poll(call.vcpu.id, ports)? {
        return Ok(Outcome::OK);
    }
    let timeout = poll.timeout.get();
    call.context.timers.poll = if timeout == 0 { Nanos::NEVER } else { Nanos(timeout) };
    call.vcpu.sched.block();
    crate::interrupt::run_timers(call.hv, call.vcpu, call.context);
    Ok(Outcome::OK)
}

/// Two watchdogs per domain, numbered from 1; number 0 asks for a new one.
fn watchdog<M: Machine>(call: &Call<'_, M>, arg: u64) -> Result {
    let arg: abi::Watchdog = call.read(arg)?;
    let now = call.hv.machine.now();
    let deadline = match arg.timeout {
        0 => Nanos::NEVER,
        seconds => now + u64::from(seconds) * 1_000_000_000,
    };
    let domain = call.domain();
    let set = domain.watchdogs.set(arg.id, deadline);
    if let (Some(_), Some(first)) = (set, domain.vcpu(VcpuId(0))) {
        call.hv.sched.signal(&first, Requests::TIMER);
    }
    match set {
        Some(id) => Ok(Outcome::Done(i64::from(if arg.id == 0 { id } else { 0 }))),
        None if arg.id == 0 && arg.timeout == 0 => refuse!(EINVAL, "a new watchdog needs a timeout"),
        None if arg.id == 0 => refuse!(ENOSPC, "a domain has two watchdogs and both are in use"),
        None => refuse!(EINVAL, "there is no watchdog {}", arg.id),
    }
}

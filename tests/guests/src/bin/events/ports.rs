//! Ports: what they are, and what is refused.

use alloc::vec::Vec;

use test_guests::abi::errno::Errno;
use test_guests::abi::event_channel::*;
use test_guests::abi::xen::*;
use test_guests::abi::{Handle64, sched};
use test_guests::call::{self, refused};
use test_guests::clock::{self, MILLISECOND};
use test_guests::suite::Outcome;
use test_guests::{check, check_eq, events, shared};

/// A number far beyond all ports.
const BEYOND: u32 = 1 << 20;

pub fn allocate_and_close() -> Outcome {
    let port = events::alloc_unbound(DOMID_SELF)?;
    check!(port > 0);
    let status = events::status(port)?;
    check_eq!(status.status, STATUS_UNBOUND);
    check_eq!(status.vcpu, 0);
    events::close(port)?;
    check_eq!(events::status(port)?.status, STATUS_CLOSED);
    check_eq!(events::close(port), refused(Errno::EINVAL));
    check_eq!(events::alloc_unbound(DOMID_SELF)?, port, "the lowest free port comes first");
    events::close(port)?;
    Ok(())
}

pub fn connected() -> Outcome {
    let near = events::alloc_unbound(DOMID_SELF)?;
    let far = events::bind_loop(near)?;
    for (port, peer) in [(near, far), (far, near)] {
        let status = events::status(port)?;
        check_eq!(status.status, STATUS_INTERDOMAIN);
        check_eq!(status.u.get::<StatusInterdomain>().port, peer);
        shared::set_masked(port, true);
        shared::clear_pending(port);
    }
    events::send(far)?;
    check!(shared::is_pending(near));
    check!(!shared::is_pending(far));
    events::send(near)?;
    check!(shared::is_pending(far));
    check_eq!(events::bind_loop(near), Err(invalid()), "it is taken");
    events::close(near)?;
    events::close(far)?;
    Ok(())
}

fn invalid() -> test_guests::abi::guest::HypercallError {
    test_guests::abi::guest::HypercallError::Errno(Errno::EINVAL)
}

pub fn close_leaves_the_peer_unbound() -> Outcome {
    let near = events::alloc_unbound(DOMID_SELF)?;
    let far = events::bind_loop(near)?;
    events::close(far)?;
    check_eq!(events::status(near)?.status, STATUS_UNBOUND);
    check_eq!(events::send(near), Ok(0), "an event to nobody is lost");
    let again = events::bind_loop(near)?;
    check_eq!(events::status(near)?.status, STATUS_INTERDOMAIN);
    events::close(again)?;
    events::close(near)?;
    Ok(())
}

pub fn virtual_interrupts() -> Outcome {
    let port = events::bind_virq(VIRQ_DEBUG, 0)?;
    let status = events::status(port)?;
    check_eq!(status.status, STATUS_VIRQ);
    check_eq!(status.u.get::<u32>(), VIRQ_DEBUG);
    check!(events::bind_virq(VIRQ_DEBUG, 0).is_err(), "bound twice");
    check!(events::bind_virq(NR_VIRQS, 0).is_err());
    check!(events::bind_virq(u32::MAX, 0).is_err());
    check!(events::bind_virq(VIRQ_TIMER, 1000).is_err());
    check_eq!(events::send(port), refused(Errno::EINVAL), "nobody sends virtual interrupts");
    check_eq!(call::event(OP_BIND_VCPU, &mut BindVcpu { port, vcpu: 0 }), refused(Errno::EINVAL));
    events::close(port)?;
    let again = events::bind_virq(VIRQ_DEBUG, 0)?;
    events::close(again)?;
    Ok(())
}

pub fn between_vcpus() -> Outcome {
    let port = events::bind_ipi(0)?;
    check_eq!(events::status(port)?.status, STATUS_IPI);
    shared::set_masked(port, true);
    shared::clear_pending(port);
    events::send(port)?;
    check!(shared::is_pending(port));
    check!(events::bind_ipi(1000).is_err());
    check_eq!(call::event(OP_BIND_VCPU, &mut BindVcpu { port, vcpu: 0 }), refused(Errno::EINVAL));
    shared::clear_pending(port);
    events::close(port)?;
    Ok(())
}

pub fn bad_ports() -> Outcome {
    let closed = events::alloc_unbound(DOMID_SELF)?;
    events::close(closed)?;
    for port in [0, closed, 4095, BEYOND, u32::MAX] {
        check_eq!(events::send(port), refused(Errno::EINVAL), "send to {port}");
        check_eq!(events::close(port), refused(Errno::EINVAL), "close {port}");
        check!(events::bind_loop(port).is_err(), "bind to {port}");
        let answer = call::event(OP_BIND_VCPU, &mut BindVcpu { port, vcpu: 0 });
        check_eq!(answer, refused(Errno::EINVAL), "bind {port} to a vCPU");
    }
    for port in [BEYOND, u32::MAX] {
        check_eq!(events::unmask(port), refused(Errno::EINVAL), "unmask {port}");
        check!(events::status(port).is_err(), "status of {port}");
    }
    let port = events::alloc_unbound(DOMID_SELF)?;
    let answer = call::event(OP_BIND_VCPU, &mut BindVcpu { port, vcpu: 1000 });
    check_eq!(answer, refused(Errno::ENOENT));
    check_eq!(call::event(OP_BIND_VCPU, &mut BindVcpu { port, vcpu: 0 }), Ok(0));
    events::close(port)?;
    for op in [15, 63, 1000, u32::MAX] {
        check_eq!(call::event(op, &mut [0_u64; 8]), refused(Errno::ENOSYS), "op {op}");
    }
    Ok(())
}

pub fn bad_domains() -> Outcome {
    for dom in [0x1234, DOMID_IDLE, DOMID_INVALID, 0xffff] {
        let mut op = AllocUnbound { dom, remote_dom: DOMID_SELF, port: 0 };
        check!(call::no_domain(call::event(OP_ALLOC_UNBOUND, &mut op)), "domain {dom:#x}");
        let mut op = BindInterdomain { remote_dom: dom, _pad: [0; 2], remote_port: 1, local_port: 0 };
        check_eq!(call::event(OP_BIND_INTERDOMAIN, &mut op), refused(Errno::ESRCH), "domain {dom:#x}");
        check!(call::no_domain(call::event(OP_RESET, &mut Reset { dom })), "domain {dom:#x}");
    }
    Ok(())
}

/// Ports until there are no more; then closing makes room.
pub fn all_of_them() -> Outcome {
    let mut ports = Vec::new();
    let refusal = loop {
        match events::alloc_unbound(DOMID_SELF) {
            Ok(port) => ports.push(port),
            Err(refusal) => break refusal,
        }
        check!(ports.len() < 4096, "2-level event channels have 4096 ports");
    };
    check_eq!(Err(refusal), refused(Errno::ENOSPC), "after {} ports", ports.len());
    let Some(last) = ports.pop() else { return test_guests::suite::skip("no ports at all") };
    events::close(last)?;
    check_eq!(events::alloc_unbound(DOMID_SELF)?, last);
    events::close(last)?;
    for port in ports {
        events::close(port)?;
    }
    Ok(())
}

pub fn poll() -> Outcome {
    let near = events::alloc_unbound(DOMID_SELF)?;
    let far = events::bind_loop(near)?;
    shared::set_masked(near, true);
    shared::clear_pending(near);
    let poll = |ports: &mut [u32], count: u32, timeout: u64| {
        let ports = Handle64::to(ports.as_ptr());
        let mut op: sched::Poll = sched::Poll { ports, nr_ports: count, _pad: [0; 4], timeout };
        call::sched(sched::OP_POLL, &mut op)
    };
    let deadline = clock::now() + 3 * MILLISECOND;
    poll(&mut [near], 1, deadline)?;
    let now = clock::now();
    check!(now >= deadline, "woken {} ns early", deadline - now);
    events::send(far)?;
    let far_away = clock::now() + 3600 * clock::SECOND;
    poll(&mut [near], 1, far_away)?;
    check!(clock::now() < far_away, "a pending port ends the wait");
    check_eq!(poll(&mut [BEYOND], 1, far_away), refused(Errno::EINVAL));
    check_eq!(poll(&mut [near; 129], 129, far_away), refused(Errno::EINVAL), "more ports than 128");
    // A time that has passed is no reason to wait.
    shared::clear_pending(near);
    poll(&mut [near], 1, 1)?;
    events::close(near)?;
    events::close(far)?;
    Ok(())
}

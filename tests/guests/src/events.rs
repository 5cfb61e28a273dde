//! Event channels: ports by what they are for.

use hypercall_abi::event_channel::*;
use hypercall_abi::xen::DOMID_SELF;

use crate::call::{self, Answer};
use crate::shared;

/// A port that other domains may connect to; `DOMID_SELF` for the own one.
pub fn alloc_unbound(remote_dom: u16) -> Result<u32, hypercall_abi::guest::HypercallError> {
    let mut op = AllocUnbound { dom: DOMID_SELF, remote_dom, port: 0 };
    call::event(OP_ALLOC_UNBOUND, &mut op).map(|_| op.port)
}

/// Connects to an own unbound port.
pub fn bind_loop(remote_port: u32) -> Result<u32, hypercall_abi::guest::HypercallError> {
    let mut op = BindInterdomain { remote_dom: DOMID_SELF, _pad: [0; 2], remote_port, local_port: 0 };
    call::event(OP_BIND_INTERDOMAIN, &mut op).map(|_| op.local_port)
}

/// A port for an interrupt to a vCPU.
pub fn bind_ipi(vcpu: u32) -> Result<u32, hypercall_abi::guest::HypercallError> {
    let mut op = BindIpi { vcpu, port: 0 };
    call::event(OP_BIND_IPI, &mut op).map(|_| op.port)
}

/// A port for a virtual interrupt.
pub fn bind_virq(virq: u32, vcpu: u32) -> Result<u32, hypercall_abi::guest::HypercallError> {
    let mut op = BindVirq { virq, vcpu, port: 0 };
    call::event(OP_BIND_VIRQ, &mut op).map(|_| op.port)
}

/// Sends.
pub fn send(port: u32) -> Answer {
    call::event(OP_SEND, &mut Send { port })
}

/// Closes.
pub fn close(port: u32) -> Answer {
    call::event(OP_CLOSE, &mut Close { port })
}

/// Unmasks by a call.
pub fn unmask(port: u32) -> Answer {
    call::event(OP_UNMASK, &mut Unmask { port })
}

/// What a port is.
pub fn status(port: u32) -> Result<Status, hypercall_abi::guest::HypercallError> {
    let mut op = Status {
        dom: DOMID_SELF,
        _pad: [0; 2],
        port,
        status: 0,
        vcpu: 0,
        u: hypercall_abi::Union::default(),
    };
    call::event(OP_STATUS, &mut op).map(|_| op)
}

/// Lets all upcalls in: unmasked ports reach the vCPU only while its own mask is 0.
pub fn clear_upcall(vcpu: u32) {
    shared::take_selector(vcpu);
}

//! `event_channel_op` (`public/event_channel.h`).

use alloc::sync::Arc;

use hypercall_abi::event_channel as abi;
use hypercall_abi::plain::Plain;

use super::{Call, Machine, Outcome, Result, refuse};
use crate::domain::Domain;
use crate::evtchn::{EventChannels, EvtchnError, Teardown, Virq};
use crate::frame::Gfn;
use crate::frames::FrameRef;
use crate::ids::{Port, VcpuId};

/// Ports that one step of a reset looks at.
const RESET_BUDGET: u32 = 256;

pub(super) fn event_channel_op<M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, arg, ..] = call.args;
    let domain = call.domain();
    let events = &domain.events;
    match op as u32 {
        abi::OP_SEND => {
            let send: abi::Send = call.read(arg)?;
            call.hv.send_event(domain, Port(send.port))?;
        }
        abi::OP_UNMASK => {
            let unmask: abi::Unmask = call.read(arg)?;
            let wake = events.lock().unmask(Port(unmask.port))?;
            call.hv.notify(domain, wake);
        }
        abi::OP_ALLOC_UNBOUND => {
            let mut alloc: abi::AllocUnbound = call.read(arg)?;
            let domain = call.target(alloc.dom)?;
            let remote = call.domain_id(alloc.remote_dom);
            alloc.port = domain.events.lock().alloc_unbound(remote)?.0;
            return_port(call, arg, &alloc, (&domain, alloc.port))?;
        }
        abi::OP_BIND_INTERDOMAIN => bind_interdomain(call, arg)?,
        abi::OP_BIND_VIRQ => {
            let mut bind: abi::BindVirq = call.read(arg)?;
            let virq = Virq::from_raw(bind.virq)?;
            if virq.is_for_control_domain() {
                call.must_be_privileged()?;
            }
            bind.port = events.lock().bind_virq(virq, VcpuId(bind.vcpu))?.0;
            return_port(call, arg, &bind, (domain, bind.port))?;
        }
        abi::OP_BIND_IPI => {
            let mut bind: abi::BindIpi = call.read(arg)?;
            bind.port = events.lock().bind_ipi(VcpuId(bind.vcpu))?.0;
            return_port(call, arg, &bind, (domain, bind.port))?;
        }
        abi::OP_BIND_PIRQ => {
            let bind: abi::BindPirq = call.read(arg)?;
            return Err(EvtchnError::NoPirq(bind.pirq).into());
        }
        abi::OP_CLOSE => {
            let close: abi::Close = call.read(arg)?;
            close_port(call, domain, Port(close.port))?;
        }
        abi::OP_STATUS => call.update(arg, |status: &mut abi::Status| {
            let found = call.target(status.dom)?.events.lock().status(Port(status.port))?;
            found.write_to(status);
            Ok(())
        })?,
        abi::OP_BIND_VCPU => {
            let bind: abi::BindVcpu = call.read(arg)?;
            events.lock().bind_vcpu(Port(bind.port), VcpuId(bind.vcpu))?;
        }
        abi::OP_RESET => return reset(call, arg),
        abi::OP_INIT_CONTROL => call.update(arg, |init: &mut abi::InitControl| {
            let page = own_page(call, init.control_gfn)?;
            init.link_bits = events.lock().init_control(VcpuId(init.vcpu), page, init.offset)?;
            Ok(())
        })?,
        abi::OP_EXPAND_ARRAY => {
            let expand: abi::ExpandArray = call.read(arg)?;
            let page = own_page(call, expand.array_gfn)?;
            let wake = events.lock().expand_array(page)?;
            call.hv.notify(domain, wake);
        }
        abi::OP_SET_PRIORITY => {
            let set: abi::SetPriority = call.read(arg)?;
            events.lock().set_priority(Port(set.port), set.priority)?;
        }
        op => refuse!(ENOSYS, "event_channel_op {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// A page of the caller that is to hold FIFO state. Xen refuses others as invalid, not as a fault.
fn own_page<M: Machine>(call: &Call<'_, M>, gfn: u64) -> Result<FrameRef<M>> {
    match call.domain().memory.own_page(Gfn(gfn)) {
        Ok(page) => Ok(page),
        Err(fault) => refuse!(EINVAL, "{fault}"),
    }
}

/// Writes the argument back with its new port; if that fails the port is closed again.
fn return_port<M: Machine, T: Plain>(
    call: &Call<'_, M>,
    arg: u64,
    value: &T,
    (domain, port): (&Arc<Domain<M>>, u32),
) -> Result<()> {
    call.write(arg, value).inspect_err(|_| {
        // It was opened a moment ago; if the guest has closed it meanwhile, so much the better.
        let _ = close_port(call, domain, Port(port));
    })
}

fn bind_interdomain<M: Machine>(call: &Call<'_, M>, arg: u64) -> Result<()> {
    let mut bind: abi::BindInterdomain = call.read(arg)?;
    let remote = call.other(bind.remote_dom)?;
    let bound = call.hv.with_events_of(call.domain(), &remote, |pair| {
        EventChannels::bind_interdomain(pair, Port(bind.remote_port))
    });
    let (port, wake) = bound?;
    call.hv.notify(call.domain(), wake);
    bind.local_port = port.0;
    return_port(call, arg, &bind, (call.domain(), port.0))
}

/// Closes a port of `domain`, with both ends' locks if it has another end. The other end may change between looking and
/// locking; then the close says so and is tried again with the new one.
fn close_port<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>, port: Port) -> Result<()> {
    let peer = domain.events.lock().peer(port)?;
    let peer = peer.and_then(|id| call.hv.domain(id)).unwrap_or_else(|| domain.clone());
    call.hv.with_events_of(domain, &peer, |pair| EventChannels::close(pair, port))?;
    Ok(())
}

/// Closes all ports of a domain and goes back to the 2-level ABI, a bounded number of ports per step.
fn reset<M: Machine>(call: &Call<'_, M>, arg: u64) -> Result {
    let reset: abi::Reset = call.read(arg)?;
    let domain = call.target(reset.dom)?;
    let mut from = Port(0);
    for _ in 0..64 {
        let step = domain.events.lock().close_all(from, RESET_BUDGET);
        match step {
            Teardown::Done => {
                if domain.id == call.domain().id {
                    domain.events.lock().reset_abi();
                }
                return Ok(Outcome::OK);
            }
            Teardown::More { from: next } => from = next,
            Teardown::Close { port, .. } => {
                close_port(call, &domain, port)?;
                from = port;
            }
        }
    }
    Ok(Outcome::Again)
}

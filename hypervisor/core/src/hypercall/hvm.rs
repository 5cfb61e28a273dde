//! `hvm_op` (`public/hvm/hvm_op.h`): parameters and the upcall vector.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::hvm as abi;

use super::page::learn_layout;
use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::domain::{Domain, Requests};
use crate::ids::VcpuId;
use crate::shared;

const CALLBACK_TYPE_SHIFT: u32 = 56;

pub(super) fn hvm_op<M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, arg, ..] = call.args;
    match op as u32 {
        abi::OP_SET_PARAM | abi::OP_GET_PARAM => {
            let mut param: abi::Param = call.read(arg)?;
            let domain = call.target(param.domid)?;
            let Some(slot) = domain.params.get(param.index as usize) else {
                refuse!(EINVAL, "HVM parameter {} does not exist", param.index)
            };
            if op as u32 == abi::OP_SET_PARAM {
                before_set(call, &domain, &param)?;
                slot.store(param.value, Ordering::Release);
            } else {
                param.value = slot.load(Ordering::Acquire);
                call.write(arg, &param)?;
            }
        }
        abi::OP_SET_EVTCHN_UPCALL_VECTOR => {
            let set: abi::EvtchnUpcallVector = call.read(arg)?;
            let Some(vcpu) = call.domain().vcpu(VcpuId(set.vcpu)) else {
                refuse!(ENOENT, "{} has no vCPU {}", call.domain().id, set.vcpu)
            };
            ensure!(set.vector >= 16, EINVAL, "vector {} is reserved for exceptions", set.vector);
            vcpu.upcall_vector.store(set.vector.into(), Ordering::Relaxed);
            call.hv.sched.signal(&vcpu, Requests::UPCALL);
        }
        abi::OP_GET_TIME => call.write(arg, &abi::GetTime { now: call.hv.machine.now().0 })?,
        // Nested paging keeps no shadows of a dying page table, and a guest flushes its own TLB.
        abi::OP_PAGETABLE_DYING => refuse!(EINVAL, "pagetable_dying means nothing with nested paging"),
        op => refuse!(ENOSYS, "hvm_op {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// What the hypervisor makes of a parameter's new value.
fn before_set<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>, param: &abi::Param) -> Result<()> {
    match param.index {
        abi::PARAM_CALLBACK_IRQ => {
            // The other kinds are interrupt lines, which a PVH guest does not have: they are accepted and never raised.
            // Linux sets one to show that it knows Xen, before it sets upcall vectors per vCPU.
            let is_vector = param.value >> CALLBACK_TYPE_SHIFT == u64::from(abi::CALLBACK_TYPE_VECTOR);
            let vector = if is_vector { param.value as u8 } else { 0 };
            domain.callback_vector.store(vector.into(), Ordering::Relaxed);
            if domain.id == call.domain().id {
                // The other moment at which the width of the guest's kernel is known.
                learn_layout(domain, call.context);
                shared::publish_wall_clock(call.hv, domain);
            }
            domain.vcpu_refs().for_each(|vcpu| call.hv.sched.signal(&vcpu, Requests::UPCALL));
        }
        // The toolstack's, not the guest's.
        abi::PARAM_STORE_PFN
        | abi::PARAM_STORE_EVTCHN
        | abi::PARAM_CONSOLE_PFN
        | abi::PARAM_CONSOLE_EVTCHN
            if !call.domain().privileged =>
        {
            refuse!(EPERM, "HVM parameter {} is set by the control domain only", param.index)
        }
        _ => {}
    }
    Ok(())
}

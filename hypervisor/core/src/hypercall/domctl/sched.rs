//! Scheduling parameters: a weight and a cap for each domain, as Xen's credit scheduler has it.

use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::SchedCredit;
use hypercall_abi::plain::Union;

use super::{Machine, On, ensure, refuse};
use crate::hypercall::Result;
use crate::hypervisor::Hypervisor;
use crate::sched::Sharing;

/// The scheduler that the tools are told of: the one whose parameters mean the same here.
pub(in crate::hypercall) fn scheduler<M: Machine>(hv: &Hypervisor<M>) -> u32 {
    match hv.sched.policy().sharing {
        Sharing::ByWeight => abi::SCHEDULER_CREDIT,
        Sharing::OneToOne => abi::SCHEDULER_NULL,
    }
}

pub(super) fn scheduler_op<M: Machine>(on: &On<'_, M>, op: &mut abi::SchedulerOp) -> Result<()> {
    let runs = scheduler(on.call.hv);
    if op.sched_id != runs {
        refuse!(EINVAL, "scheduler {}: {runs} is the one that runs (sched=)", op.sched_id);
    }
    ensure!(runs != abi::SCHEDULER_NULL, EOPNOTSUPP, "sched=null has no parameters: no weights, no caps");
    match op.cmd {
        abi::SCHEDOP_GETINFO => {
            // All vCPUs have the same.
            let weight = on.domain.vcpus.first().map_or(0, |vcpu| vcpu.sched.weight());
            op.u = Union::new(SchedCredit { weight: weight as u16, cap: on.domain.budget.cap() });
        }
        abi::SCHEDOP_PUTINFO => {
            let SchedCredit { weight, cap } = op.u.get();
            // As with Xen, a weight of zero and the highest cap leave them as they are.
            if cap != u16::MAX {
                let most = on.domain.config.max_vcpus.saturating_mul(100);
                ensure!(u32::from(cap) <= most, EINVAL, "a cap of {cap} %: its vCPUs can use {most} %");
                on.domain.budget.set_cap(cap);
                on.domain.vcpu_refs().for_each(|vcpu| on.call.hv.sched.look_again(&vcpu));
            }
            if weight != 0 {
                on.domain.vcpu_refs().for_each(|vcpu| on.call.hv.sched.set_weight(&vcpu, weight.into()));
            }
        }
        abi::SCHEDOP_PUTVCPUINFO | abi::SCHEDOP_GETVCPUINFO => {
            refuse!(EOPNOTSUPP, "parameters of single vCPUs are for the real-time scheduler")
        }
        cmd => refuse!(EINVAL, "scheduler command {cmd} is not known"),
    }
    Ok(())
}

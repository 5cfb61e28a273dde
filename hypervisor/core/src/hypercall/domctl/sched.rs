//! Scheduling parameters: a weight for each domain, as Xen's credit scheduler has it.

use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::SchedCredit;
use hypercall_abi::plain::Union;

use super::{Machine, On, refuse};
use crate::hypercall::Result;

/// The scheduler that the tools are told of: the one whose parameters mean the same here.
pub(in crate::hypercall) const SCHEDULER: u32 = abi::SCHEDULER_CREDIT;

pub(super) fn scheduler_op<M: Machine>(on: &On<'_, M>, op: &mut abi::SchedulerOp) -> Result<()> {
    if op.sched_id != SCHEDULER {
        refuse!(EINVAL, "scheduler {} is not the one that runs ({SCHEDULER}, credit)", op.sched_id);
    }
    match op.cmd {
        abi::SCHEDOP_GETINFO => {
            // All vCPUs have the same.
            let weight = on.domain.vcpus.first().map_or(0, |vcpu| vcpu.sched.weight());
            op.u = Union::new(SchedCredit { weight: weight as u16, cap: 0 });
        }
        abi::SCHEDOP_PUTINFO => {
            let SchedCredit { weight, cap } = op.u.get();
            if cap != 0 && cap != u16::MAX {
                refuse!(EOPNOTSUPP, "a cap of {cap} %: caps on CPU time are not supported");
            }
            // As with Xen, a weight of zero leaves it as it is.
            if weight != 0 {
                on.domain.vcpus.iter().for_each(|vcpu| vcpu.sched.set_weight(weight.into()));
            }
        }
        abi::SCHEDOP_PUTVCPUINFO | abi::SCHEDOP_GETVCPUINFO => {
            refuse!(EOPNOTSUPP, "parameters of single vCPUs are for the real-time scheduler")
        }
        cmd => refuse!(EINVAL, "scheduler command {cmd} is not known"),
    }
    Ok(())
}

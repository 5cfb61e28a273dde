//! CPU pools and scheduler parameters: one pool with all CPUs that run vCPUs.

use hypercall_abi::domctl::SCHEDULER_NULL;
use hypercall_abi::plain::Union;
use hypercall_abi::sysctl as abi;
use hypercall_abi::sysctl::{CpupoolOp, CreditSchedule, SchedulerOp};

use super::{Call, Machine, Result, ensure, refuse};
use crate::hypercall::command::write_bitmap;
use crate::hypercall::domctl::scheduler;
use crate::ids::DomId;
use crate::machine::CpuMask;
use crate::sched::SLICE_MS;

pub(super) fn cpupool_op<M: Machine>(call: &Call<'_, M>, op: &mut CpupoolOp) -> Result<()> {
    match op.op {
        abi::CPUPOOL_OP_INFO => {
            if op.cpupool_id != 0 && op.cpupool_id != abi::CPUPOOL_PAR_ANY {
                refuse!(ENOENT, "there is no CPU pool from number {} on", op.cpupool_id);
            }
            op.cpupool_id = 0;
            op.sched_id = scheduler(call.hv);
            op.n_dom = call.hv.domains_from(DomId(0)).count() as u32;
            write_bitmap(call, &op.cpumap, call.hv.sched.pool().0)?;
        }
        abi::CPUPOOL_OP_FREEINFO => {
            let all = CpuMask::first(call.hv.machine.cpus());
            write_bitmap(call, &op.cpumap, all.0 & !call.hv.sched.pool().0)?;
        }
        abi::CPUPOOL_OP_MOVEDOMAIN if op.cpupool_id == 0 => {
            let exists = u16::try_from(op.domid).is_ok_and(|id| call.hv.domain(DomId(id)).is_some());
            ensure!(exists, ESRCH, "there is no domain {}", op.domid);
        }
        abi::CPUPOOL_OP_CREATE
        | abi::CPUPOOL_OP_DESTROY
        | abi::CPUPOOL_OP_ADDCPU
        | abi::CPUPOOL_OP_RMCPU
        | abi::CPUPOOL_OP_MOVEDOMAIN => {
            refuse!(EOPNOTSUPP, "CPU pools are not supported: pool 0 has all CPUs and all domains")
        }
        op => refuse!(ENOSYS, "CPU pool operation {op} is not known"),
    }
    Ok(())
}

pub(super) fn scheduler_op<M: Machine>(call: &Call<'_, M>, op: &mut SchedulerOp) -> Result<()> {
    let runs = scheduler(call.hv);
    if op.cpupool_id != 0 || op.sched_id != runs {
        let (scheduler, pool) = (op.sched_id, op.cpupool_id);
        refuse!(EINVAL, "scheduler {scheduler} in pool {pool}: {runs} runs in pool 0");
    }
    match op.cmd {
        // As with Xen, `null` has no parameters, and takes any.
        abi::SCHEDOP_GETINFO | abi::SCHEDOP_PUTINFO if runs == SCHEDULER_NULL => Ok(()),
        abi::SCHEDOP_GETINFO => {
            op.u = Union::new(CreditSchedule { tslice_ms: SLICE_MS, ratelimit_us: 0, vcpu_migr_delay_us: 0 });
            Ok(())
        }
        abi::SCHEDOP_PUTINFO => refuse!(EOPNOTSUPP, "the scheduler's time slice is fixed"),
        cmd => refuse!(EINVAL, "scheduler command {cmd} is not known"),
    }
}

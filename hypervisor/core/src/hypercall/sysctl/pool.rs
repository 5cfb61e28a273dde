//! CPU pools, CPUs that are switched off and on, and scheduler parameters. Refusals and their numbers are Xen's.

use hypercall_abi::domctl::SCHEDULER_NULL;
use hypercall_abi::plain::Union;
use hypercall_abi::sysctl as abi;
use hypercall_abi::sysctl::{CpuHotplug, CpupoolOp, CreditSchedule, SchedulerOp, Sysctl};

use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::hypercall::command::write_bitmap;
use crate::hypercall::domctl::scheduler;
use crate::ids::{CpuId, DomId, PoolId};
use crate::p2m::Progress;
use crate::sched::SLICE_MS;

/// Waits, by having the call made again, until everybody has left a CPU.
pub(in crate::hypercall) fn once_done(progress: Progress) -> Outcome {
    match progress {
        Progress::Done => Outcome::OK,
        Progress::More => Outcome::Again,
    }
}

pub(super) fn cpupool_op<M: Machine>(call: &Call<'_, M>, ctl: &mut Sysctl) -> Result {
    let mut op: CpupoolOp = ctl.payload();
    let (hv, pool, cpu) = (call.hv, PoolId(op.cpupool_id), CpuId(op.cpu));
    match op.op {
        abi::CPUPOOL_OP_CREATE => {
            let (runs, wanted) = (scheduler(hv), op.sched_id);
            ensure!(wanted == runs, ENOENT, "scheduler {wanted}: {runs} runs in all pools (sched=)");
            let wanted = Some(pool).filter(|pool| pool.0 != abi::CPUPOOL_PAR_ANY);
            op.cpupool_id = hv.create_pool(wanted)?.0;
        }
        abi::CPUPOOL_OP_DESTROY => hv.destroy_pool(pool)?,
        abi::CPUPOOL_OP_INFO => {
            let Some(found) = hv.pool_from(pool) else {
                refuse!(ENOENT, "there is no CPU pool from number {} on", pool.0)
            };
            (op.cpupool_id, op.sched_id, op.n_dom) = (found.0, scheduler(hv), hv.domains_in(found));
            write_bitmap(call, &op.cpumap, hv.sched.pool_cpus(found).0)?;
        }
        abi::CPUPOOL_OP_FREEINFO => write_bitmap(call, &op.cpumap, hv.free_cpus().0)?,
        abi::CPUPOOL_OP_ADDCPU => hv.add_cpu(pool, Some(cpu).filter(|cpu| cpu.0 != abi::CPUPOOL_PAR_ANY))?,
        abi::CPUPOOL_OP_RMCPU => {
            if cpu.0 == abi::CPUPOOL_PAR_ANY {
                // Noted for when the call is made again.
                op.cpu = hv.sched.pool_cpus(pool).0.checked_ilog2().unwrap_or(op.cpu);
                ctl.set_payload(op);
            }
            return Ok(once_done(hv.remove_cpu(pool, CpuId(op.cpu))?));
        }
        abi::CPUPOOL_OP_MOVEDOMAIN => {
            let Some(domain) = u16::try_from(op.domid).ok().and_then(|id| hv.domain(DomId(id))) else {
                refuse!(ESRCH, "there is no domain {}", op.domid)
            };
            let oneself = domain.id == call.domain().id;
            ensure!(!oneself, EPERM, "{} cannot move itself to another CPU pool", domain.id);
            hv.move_domain(&domain, pool)?;
        }
        op => refuse!(ENOSYS, "CPU pool operation {op} is not known"),
    }
    ctl.set_payload(op);
    Ok(Outcome::OK)
}

pub(super) fn cpu_hotplug<M: Machine>(call: &Call<'_, M>, op: CpuHotplug) -> Result {
    let (hv, cpu) = (call.hv, CpuId(op.cpu));
    let is_on = hv.online().contains(cpu);
    match op.op {
        abi::CPU_HOTPLUG_ONLINE => {
            ensure!(!is_on, EINVAL, "{cpu} is on");
            hv.switch_cpu_on(cpu)?;
            Ok(Outcome::OK)
        }
        abi::CPU_HOTPLUG_OFFLINE => {
            ensure!(is_on, EINVAL, "there is no {cpu}, or it is off");
            Ok(once_done(hv.switch_cpu_off(cpu)?))
        }
        abi::CPU_HOTPLUG_SMT_ENABLE | abi::CPU_HOTPLUG_SMT_DISABLE => {
            refuse!(EOPNOTSUPP, "second threads are switched on and off one by one")
        }
        op => refuse!(EOPNOTSUPP, "CPU hotplug operation {op} is not known"),
    }
}

pub(super) fn scheduler_op<M: Machine>(call: &Call<'_, M>, op: &mut SchedulerOp) -> Result<()> {
    let pool = PoolId(op.cpupool_id);
    ensure!(call.hv.pool_from(pool) == Some(pool), ESRCH, "there is no {pool}");
    let (runs, asked) = (scheduler(call.hv), op.sched_id);
    ensure!(asked == runs, EINVAL, "scheduler {asked}: {runs} runs in all pools (sched=)");
    match op.cmd {
        _ if runs == SCHEDULER_NULL => refuse!(EOPNOTSUPP, "sched=null has no parameters"),
        abi::SCHEDOP_GETINFO => {
            op.u = Union::new(CreditSchedule { tslice_ms: SLICE_MS, ratelimit_us: 0, vcpu_migr_delay_us: 0 });
            Ok(())
        }
        abi::SCHEDOP_PUTINFO => refuse!(EOPNOTSUPP, "the scheduler's time slice is fixed"),
        cmd => refuse!(EINVAL, "scheduler command {cmd} is not known"),
    }
}

//! `vcpu_op` (`public/vcpu.h`): what a domain does with its own vCPUs.

use core::ops::RangeInclusive;
use core::sync::atomic::Ordering;

use hypercall_abi::abi::{Abi, Word};
use hypercall_abi::errno::Errno;
use hypercall_abi::vcpu as abi;
use hypercall_abi::xen::VcpuTimeInfo;

use super::vcpu_init::{has_registers, initialise};
use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::domain::{Requests, SharedArea, VcpuRef};
use crate::frame::{Gfn, PAGE_SIZE};
use crate::ids::VcpuId;
use crate::time::Nanos;
use crate::{interrupt, shared};

/// Periods of a periodic timer, in nanoseconds. The longest one is Xen's `STIME_DELTA_MAX`: a sum with the system time
/// does not overflow.
const PERIODS: RangeInclusive<u64> = Nanos::MILLISECOND..=u64::MAX >> 2;

pub(super) fn vcpu_op<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, id, arg, ..] = call.args;
    let Some(vcpu) = call.domain().vcpu(VcpuId(id as u32)) else {
        refuse!(ENOENT, "{} has no vCPU {}", call.domain().id, id as u32)
    };
    match op as u32 {
        abi::OP_SET_SINGLESHOT_TIMER => return set_singleshot::<A, M>(call, &vcpu, arg),
        abi::OP_STOP_SINGLESHOT_TIMER => {
            own(call, &vcpu)?;
            call.context.timers.singleshot = Nanos::NEVER;
        }
        abi::OP_SET_PERIODIC_TIMER => {
            own(call, &vcpu)?;
            let set: abi::SetPeriodicTimer = call.read(arg)?;
            let period = set.period_ns;
            ensure!(PERIODS.contains(&period), EINVAL, "a timer period of {period} ns is not in {PERIODS:?}");
            call.context.timers.periodic = (call.hv.machine.now() + period, period);
            interrupt::rearm(call.hv, call.context);
        }
        abi::OP_STOP_PERIODIC_TIMER => {
            own(call, &vcpu)?;
            call.context.timers.periodic = (Nanos::NEVER, 0);
        }
        abi::OP_IS_UP => return Ok(Outcome::Done(i64::from(vcpu.is_online()))),
        abi::OP_UP => {
            ensure!(has_registers(&vcpu), EINVAL, "{vcpu} has never been given registers");
            call.hv.bring_up(&vcpu);
        }
        abi::OP_DOWN => call.hv.switch_off(&vcpu),
        abi::OP_INITIALISE => initialise(call, &vcpu, arg)?,
        abi::OP_GET_RUNSTATE_INFO => {
            let times = vcpu.sched.times(call.hv.machine.now());
            call.write(arg, &shared::runstate::<A>(&times))?;
        }
        abi::OP_REGISTER_RUNSTATE_MEMORY_AREA => {
            own(call, &vcpu)?;
            let register: A::Handle = call.read(arg)?;
            let len = size_of::<abi::RunstateInfo<A>>();
            call.context.runstate_area = Some(area::<A, M>(call, register.get(), len)?);
            shared::publish_runstate(call.vcpu, call.context);
        }
        abi::OP_REGISTER_VCPU_TIME_MEMORY_AREA => {
            own(call, &vcpu)?;
            let register: A::Handle = call.read(arg)?;
            call.context.time_area = Some(area::<A, M>(call, register.get(), size_of::<VcpuTimeInfo>())?);
            shared::publish_time(call.hv, call.vcpu, call.context);
        }
        abi::OP_REGISTER_VCPU_INFO => register_info(call, &vcpu, arg)?,
        abi::OP_SEND_NMI => call.hv.sched.signal(&vcpu, Requests::NMI),
        abi::OP_GET_PHYSID => refuse!(EINVAL, "vCPUs of {} are not tied to CPUs", call.domain().id),
        op => refuse!(ENOSYS, "vcpu_op {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// Timers and areas belong to the vCPU that calls.
fn own<M: Machine>(call: &Call<'_, M>, vcpu: &VcpuRef<M>) -> Result<()> {
    ensure!(vcpu == call.vcpu, EINVAL, "{} cannot do that for {vcpu}", call.vcpu);
    Ok(())
}

fn set_singleshot<A: Abi, M: Machine>(call: &mut Call<'_, M>, vcpu: &VcpuRef<M>, arg: u64) -> Result {
    own(call, vcpu)?;
    let set: abi::SetSingleshotTimer<A> = call.read(arg)?;
    let at = Nanos(set.timeout_abs_ns.get());
    let is_past = at <= call.hv.machine.now();
    if is_past && set.flags.contains(abi::SingleshotFlags::FUTURE) {
        return Ok(Outcome::Done(Errno::ETIME.to_result()));
    }
    call.context.timers.singleshot = at;
    if is_past {
        interrupt::run_timers(call.hv, call.vcpu, call.context);
    } else {
        interrupt::rearm(call.hv, call.context);
    }
    Ok(Outcome::OK)
}

/// Pins the memory at a linear address of the caller, which may cross into a second page.
fn area<A: Abi, M: Machine>(call: &Call<'_, M>, at: u64, len: usize) -> Result<SharedArea<M>> {
    let first = call.writable_address(at)?;
    let memory = &call.domain().memory;
    let second = if first.offset() + len > PAGE_SIZE {
        let last = call.writable_address(at.wrapping_add(len as u64 - 1))?;
        Some(memory.own_page(last.frame())?)
    } else {
        None
    };
    Ok(SharedArea { first: (memory.own_page(first.frame())?, first.offset()), second, compat: A::BITS == 32 })
}

fn register_info<M: Machine>(call: &mut Call<'_, M>, vcpu: &VcpuRef<M>, arg: u64) -> Result<()> {
    let register: abi::RegisterVcpuInfo = call.read(arg)?;
    if vcpu != call.vcpu && vcpu.is_online() {
        refuse!(EBUSY, "{vcpu} is running: only it may move its vcpu_info");
    }
    let page = call.domain().memory.own_page(Gfn(register.mfn))?;
    let wake = {
        let mut events = call.domain().events.lock();
        let wake = events.register_vcpu_info(vcpu.id, page, register.offset)?;
        vcpu.shows_time.store(false, Ordering::Relaxed);
        wake
    };
    if vcpu == call.vcpu {
        shared::publish_time(call.hv, call.vcpu, call.context);
    }
    call.hv.notify(call.domain(), wake);
    Ok(())
}

//! Pausing, letting run, ending.

use hypercall_abi::domctl as abi;

use super::{Machine, On, Outcome, Result, ensure, refuse};
use crate::domain::Requests;
use crate::p2m::Progress;

/// Steps of a destruction within one call: each is some tens of microseconds of work at most.
const STEPS: u32 = 4;

pub(super) fn pause<M: Machine>(on: &On<'_, M>) -> Result<()> {
    on.not_oneself()?;
    on.call.hv.pause_domain(&on.domain);
    Ok(())
}

pub(super) fn unpause<M: Machine>(on: &On<'_, M>) -> Result<()> {
    ensure!(on.call.hv.unpause_domain(&on.domain), EINVAL, "{} is not paused", on.domain.id);
    Ok(())
}

pub(super) fn resume<M: Machine>(on: &On<'_, M>) -> Result<()> {
    on.not_oneself()?;
    on.call.hv.resume_domain(&on.domain);
    Ok(())
}

pub(super) fn destroy<M: Machine>(on: &On<'_, M>) -> Result {
    on.not_oneself()?;
    if on.domain.hardware.is_some() {
        refuse!(EINVAL, "{} owns the machine's devices: shut it down instead", on.domain.id);
    }
    for _ in 0..STEPS {
        if on.call.hv.destroy_step(&on.domain) == Progress::Done {
            return Ok(Outcome::OK);
        }
    }
    Ok(Outcome::Again)
}

pub(super) fn trigger<M: Machine>(on: &On<'_, M>, send: abi::SendTrigger) -> Result<()> {
    let vcpu = on.vcpu(send.vcpu)?;
    match send.trigger {
        abi::SENDTRIGGER_NMI => {
            on.call.hv.sched.signal(&vcpu, Requests::NMI);
            Ok(())
        }
        abi::SENDTRIGGER_POWER | abi::SENDTRIGGER_SLEEP => {
            refuse!(EOPNOTSUPP, "a PVH domain has no ACPI buttons: use its control/shutdown node")
        }
        trigger => refuse!(ENOSYS, "trigger {trigger} is not known"),
    }
}

//! Pausing, letting run, ending.

use alloc::sync::Arc;

use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::Domctl;

use super::{not_oneself, vcpu_of};
use crate::domain::{Domain, Requests};
use crate::hypercall::{Call, Outcome, Refused};
use crate::hypervisor::Destruction;
use crate::machine::Machine;
use crate::refuse;

/// Steps of a destruction within one call: each is some tens of microseconds of work at most.
const STEPS: u32 = 4;

pub(super) fn pause<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>) -> Result<Outcome, Refused> {
    not_oneself(call, domain)?;
    call.hv.pause_domain(domain);
    Ok(Outcome::OK)
}

pub(super) fn unpause<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>) -> Result<Outcome, Refused> {
    if !call.hv.unpause_domain(domain) {
        refuse!(EINVAL, "{} is not paused", domain.id);
    }
    Ok(Outcome::OK)
}

pub(super) fn resume<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>) -> Result<Outcome, Refused> {
    not_oneself(call, domain)?;
    call.hv.resume_domain(domain);
    Ok(Outcome::OK)
}

pub(super) fn destroy<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>) -> Result<Outcome, Refused> {
    not_oneself(call, domain)?;
    if domain.hardware.is_some() {
        refuse!(EINVAL, "{} owns the machine's devices: shut it down instead", domain.id);
    }
    for _ in 0..STEPS {
        if call.hv.destroy_step(domain) == Destruction::Finished {
            return Ok(Outcome::OK);
        }
    }
    Ok(Outcome::Again)
}

pub(super) fn trigger<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &Domctl,
) -> Result<Outcome, Refused> {
    let send: abi::SendTrigger = ctl.payload();
    let vcpu = vcpu_of(domain, send.vcpu)?;
    match send.trigger {
        abi::SENDTRIGGER_NMI => {
            vcpu.request(Requests::NMI);
            call.hv.sched.wake(&vcpu);
            Ok(Outcome::OK)
        }
        abi::SENDTRIGGER_POWER | abi::SENDTRIGGER_SLEEP => {
            refuse!(EOPNOTSUPP, "a PVH domain has no ACPI buttons: use its control/shutdown node")
        }
        trigger => refuse!(ENOSYS, "trigger {trigger} is not known"),
    }
}

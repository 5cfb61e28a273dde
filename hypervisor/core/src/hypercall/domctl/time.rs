//! A domain's TSC and wall clock.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::domctl::{Domctl, SetTimeOffset, TscInfo};

use crate::domain::Domain;
use crate::hypercall::{Call, Outcome, Refused};
use crate::machine::Machine;
use crate::{refuse, shared};

/// `tsc_mode`: emulated where the machine's is not good enough.
const DEFAULT: u32 = 0;
/// `tsc_mode`: always emulated.
const ALWAYS_EMULATE: u32 = 1;
/// `tsc_mode`: the machine's.
const NATIVE: u32 = 2;

pub(super) fn get_tsc<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &mut Domctl,
) -> Result<Outcome, Refused> {
    let policy = domain.cpuid.read();
    let time = policy.time();
    ctl.set_payload(TscInfo {
        tsc_mode: time.mode,
        gtsc_khz: time.guest_khz,
        incarnation: time.incarnation,
        pad: 0,
        elapsed_nsec: call.hv.machine.now().0,
    });
    Ok(Outcome::OK)
}

/// The guest's TSC always runs at the machine's rate; the modes differ in what the guest is told.
pub(super) fn set_tsc<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &Domctl,
) -> Result<Outcome, Refused> {
    super::not_oneself(call, domain)?;
    let info: TscInfo = ctl.payload();
    match info.tsc_mode {
        DEFAULT | NATIVE => {}
        ALWAYS_EMULATE => refuse!(EOPNOTSUPP, "tsc_mode 1 (always emulate): the TSC is never emulated"),
        mode => refuse!(EINVAL, "tsc_mode {mode} is not known"),
    }
    if domain.life.is_started() {
        refuse!(EEXIST, "{} has run: its TSC stays as it is", domain.id);
    }
    let mut policy = domain.cpuid.write();
    let mut time = *policy.time();
    if info.gtsc_khz != 0 && info.gtsc_khz != time.host_khz {
        refuse!(EOPNOTSUPP, "a TSC of {} kHz: this machine's runs at {} kHz", info.gtsc_khz, time.host_khz);
    }
    time.mode = info.tsc_mode;
    time.incarnation = info.incarnation.wrapping_add(1);
    policy.set_time(time);
    Ok(Outcome::OK)
}

pub(super) fn set_offset<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &Domctl,
) -> Result<Outcome, Refused> {
    let SetTimeOffset { time_offset_seconds } = ctl.payload();
    domain.time_offset.store(time_offset_seconds, Ordering::Relaxed);
    shared::publish_wall_clock(call.hv, domain);
    Ok(Outcome::OK)
}

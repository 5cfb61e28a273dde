//! A domain's TSC and wall clock.

use core::sync::atomic::Ordering;

use hypercall_abi::domctl::{SetTimeOffset, TscInfo};

use super::{Machine, On, ensure, refuse};
use crate::hypercall::Result;
use crate::shared;

/// `tsc_mode`: emulated where the machine's is not good enough.
const DEFAULT: u32 = 0;
/// `tsc_mode`: always emulated.
const ALWAYS_EMULATE: u32 = 1;
/// `tsc_mode`: the machine's.
const NATIVE: u32 = 2;

pub(super) fn tsc<M: Machine>(on: &On<'_, M>) -> TscInfo {
    let policy = on.domain.cpuid.read();
    let time = policy.time;
    TscInfo {
        tsc_mode: time.mode,
        gtsc_khz: time.khz,
        incarnation: time.incarnation,
        pad: 0,
        elapsed_nsec: on.call.hv.machine.now().0,
    }
}

/// The guest's TSC always runs at the machine's rate; the modes differ in what the guest is told.
pub(super) fn set_tsc<M: Machine>(on: &On<'_, M>, info: TscInfo) -> Result<()> {
    on.not_oneself()?;
    match info.tsc_mode {
        DEFAULT | NATIVE => {}
        ALWAYS_EMULATE => refuse!(EOPNOTSUPP, "tsc_mode 1 (always emulate): the TSC is never emulated"),
        mode => refuse!(EINVAL, "tsc_mode {mode} is not known"),
    }
    ensure!(!on.domain.life.is_started(), EEXIST, "{} has run: its TSC stays as it is", on.domain.id);
    let mut policy = on.domain.cpuid.write();
    let time = &mut policy.time;
    if info.gtsc_khz != 0 && info.gtsc_khz != time.khz {
        refuse!(EOPNOTSUPP, "a TSC of {} kHz: this machine's runs at {} kHz", info.gtsc_khz, time.khz);
    }
    time.mode = info.tsc_mode;
    time.incarnation = info.incarnation.wrapping_add(1);
    Ok(())
}

pub(super) fn set_offset<M: Machine>(on: &On<'_, M>, op: SetTimeOffset) {
    on.domain.time_offset.store(op.time_offset_seconds, Ordering::Relaxed);
    shared::publish_wall_clock(on.call.hv, &on.domain);
}

//! Two small calls: `vm_assist`, and `set_timer_op`, the older form of the single-shot timer.

use core::sync::atomic::Ordering;

use hypercall_abi::abi::Abi;
use hypercall_abi::xen as abi;

use super::{Call, Machine, Outcome, Result, refuse};
use crate::interrupt;
use crate::time::Nanos;

/// The one assist that is not for paravirtualized guests: marking updates of the runstate area.
pub(super) fn vm_assist<M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [command, kind, ..] = call.args;
    let kind = kind as u32;
    if kind != abi::VMASST_TYPE_RUNSTATE_UPDATE_FLAG {
        refuse!(EINVAL, "assist {kind} is for paravirtualized guests");
    }
    let on = match command as u32 {
        abi::VMASST_CMD_ENABLE => true,
        abi::VMASST_CMD_DISABLE => false,
        command => refuse!(ENOSYS, "vm_assist command {command} is not known"),
    };
    call.domain().marks_runstate.store(on, Ordering::Relaxed);
    Ok(Outcome::OK)
}

/// Sets the calling vCPU's single-shot timer to a system time in ns, or stops it.
pub(super) fn set_timer<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [low, high, ..] = call.args;
    let at = if A::BITS == 64 { low } else { low | high << 32 };
    call.context.timers.singleshot = if at == 0 { Nanos::NEVER } else { Nanos(at) };
    interrupt::run_timers(call.hv, call.vcpu, call.context);
    Ok(Outcome::OK)
}

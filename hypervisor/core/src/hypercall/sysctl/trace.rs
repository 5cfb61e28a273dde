//! The trace buffers.

use core::sync::atomic::Ordering::Relaxed;

use hypercall_abi::sysctl as abi;

use super::{Call, Machine, Result, ensure, refuse};
use crate::frame::PAGE_SIZE;

pub(super) fn tbuf_op<M: Machine>(call: &Call<'_, M>, op: &mut abi::TbufOp) -> Result<()> {
    let trace = call.hv.machine.trace();
    match op.cmd {
        abi::TBUFOP_GET_INFO => {
            op.evt_mask = trace.events.load(Relaxed);
            op.buffer_mfn = trace.info().map_or(0, |info| info.0);
            op.size = PAGE_SIZE as u32;
        }
        abi::TBUFOP_SET_EVT_MASK => trace.events.store(op.evt_mask, Relaxed),
        abi::TBUFOP_SET_SIZE => trace.set_size(op.size)?,
        abi::TBUFOP_ENABLE => {
            ensure!(trace.info().is_some(), EINVAL, "trace buffers have no size yet");
            trace.enable();
            // So every CPU that runs a vCPU tells which.
            call.hv.sched.reschedule_all();
        }
        abi::TBUFOP_DISABLE => trace.on.store(false, Relaxed),
        cmd => refuse!(EOPNOTSUPP, "trace buffer operation {cmd} is not supported"),
    }
    Ok(())
}

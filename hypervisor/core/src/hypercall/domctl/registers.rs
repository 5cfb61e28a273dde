//! A vCPU's registers in the format for paravirtualized guests, as far as it means something here: what a debugger or
//! `xenctx` reads.

use core::mem::offset_of;

use hypercall_abi::abi::{Word, X64};
use hypercall_abi::domctl::{ContextFlags, UserRegs64, VcpuContext, VcpuGuestContext};
use hypercall_abi::plain::Plain;

use super::{Machine, On, Result, refuse};
use crate::guest_cpu::{Gpr, GuestCpu};

type Guest = VcpuGuestContext<X64>;

pub(super) fn get<M: Machine>(on: &On<'_, M>, op: VcpuContext) -> Result<()> {
    on.not_oneself()?;
    let vcpu = on.vcpu(op.vcpu)?;
    let (gprs, system) = on.call.hv.while_stopped(&on.domain, || {
        let context = vcpu.context.lock();
        (*context.guest.gprs(), context.guest.system())
    });
    let mut regs = UserRegs64::zeroed();
    macro_rules! fill {
        ($($field:ident: $reg:ident,)*) => { $(regs.$field = gprs.get(Gpr::$reg);)* };
    }
    gprs!(fill);
    let s = &system.segments;
    (regs.rip, regs.rflags) = (gprs.rip, gprs.rflags);
    (regs.cs, regs.ss, regs.ds) = (s.cs.selector, s.ss.selector, s.ds.selector);
    (regs.es, regs.fs, regs.gs) = (s.es.selector, s.fs.selector, s.gs.selector);
    let online = if vcpu.is_online() { ContextFlags::ONLINE } else { ContextFlags::empty() };
    let ctrlreg = [system.cr0, 0, system.cr2, system.cr3, system.cr4, 0, 0, 0];
    let debugreg = [0, 0, 0, 0, 0, 0, system.dr6, system.dr7];
    // Piece by piece: the structure is too large for the stack. What is not written is what means nothing for this kind
    // of guest; the caller passed it zeroed.
    let place = |offset: usize| op.ctxt.get().wrapping_add(offset as u64);
    on.call.write(place(offset_of!(Guest, flags)), &u64::from(online.bits()))?;
    on.call.write(place(offset_of!(Guest, user_regs)), &regs)?;
    on.call.write(place(offset_of!(Guest, ctrlreg)), &ctrlreg)?;
    on.call.write(place(offset_of!(Guest, debugreg)), &debugreg)?;
    on.call.write(place(offset_of!(Guest, fs_base)), &s.fs.base)?;
    on.call.write(place(offset_of!(Guest, gs_base_kernel)), &system.entry.kernel_gs_base)?;
    on.call.write(place(offset_of!(Guest, gs_base_user)), &s.gs.base)
}

pub(super) fn set<M: Machine>(on: &On<'_, M>, op: VcpuContext) -> Result<()> {
    on.not_oneself()?;
    let vcpu = on.vcpu(op.vcpu)?;
    if op.ctxt.is_null() {
        refuse!(EOPNOTSUPP, "resetting a vCPU by a null context is for paravirtualized guests");
    }
    let at = op.ctxt.get();
    let regs: UserRegs64 = on.call.read(at.wrapping_add(offset_of!(Guest, user_regs) as u64))?;
    on.call.hv.while_stopped(&on.domain, || {
        let mut context = vcpu.context.lock();
        let gprs = context.guest.gprs_mut();
        macro_rules! take {
            ($($field:ident: $reg:ident,)*) => { $(gprs.set(Gpr::$reg, regs.$field);)* };
        }
        gprs!(take);
        gprs.rip = regs.rip;
        gprs.rflags = regs.rflags | 2;
    });
    Ok(())
}

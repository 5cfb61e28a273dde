//! `VCPUOP_initialise`: the registers of a vCPU that its domain brings up itself (`public/hvm/hvm_vcpu.h`).

use core::sync::atomic::Ordering;

use hypercall_abi::hvm as abi;

use super::{Call, Machine, Result, ensure, refuse};
use crate::domain::{Context, VcpuRef};
use crate::guest_cpu::bits::{CR0_ET, CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME};
use crate::guest_cpu::{Gprs, GuestCpu, Segment, SystemState};

pub(super) fn initialise<M: Machine>(call: &Call<'_, M>, vcpu: &VcpuRef<M>, arg: u64) -> Result<()> {
    let context: abi::VcpuHvmContext = call.read(arg)?;
    ensure!(!has_registers(vcpu), EEXIST, "{vcpu} has registers already");
    let registers = match context.mode {
        abi::VCPU_MODE_32B => state_32(&context.cpu_regs.get())?,
        abi::VCPU_MODE_64B => state_64(&context.cpu_regs.get())?,
        mode => refuse!(EINVAL, "vCPU mode {mode} is not known"),
    };
    // The vCPU is not online, but the CPU that ran it may still be at it: it may even be this one, or wait for this one.
    let Some(mut target) = vcpu.context.try_lock() else { refuse!(EBUSY, "{vcpu} has not stopped yet") };
    give_registers(vcpu, &mut target, &registers)
}

/// Whether a vCPU could be brought up.
pub(super) fn has_registers<M: Machine>(vcpu: &VcpuRef<M>) -> bool {
    vcpu.is_online() || vcpu.initialised.load(Ordering::Acquire)
}

/// Gives a vCPU, whose context this is, the registers it starts with, if a CPU can have them.
pub(super) fn give_registers<M: Machine>(
    vcpu: &VcpuRef<M>,
    context: &mut Context<M>,
    (gprs, system): &(Gprs, SystemState),
) -> Result<()> {
    system.check()?;
    context.guest.forget_events();
    context.guest.set_system(system);
    *context.guest.gprs_mut() = *gprs;
    vcpu.initialised.store(true, Ordering::Release);
    Ok(())
}

/// The first eight registers are those that 32-bit code has.
fn gprs(rip: u64, rflags: u64, first: [u64; 8]) -> Gprs {
    let mut gprs = Gprs { rip, rflags: rflags | 2, ..Gprs::default() };
    gprs.gpr.iter_mut().zip(first).for_each(|(to, value)| *to = value);
    gprs
}

fn state_32(regs: &abi::VcpuHvm32) -> Result<(Gprs, SystemState)> {
    ensure!(regs.efer & EFER_LMA == 0, EINVAL, "long mode in a 32-bit vCPU context");
    let first = [regs.eax, regs.ecx, regs.edx, regs.ebx, regs.esp, regs.ebp, regs.esi, regs.edi];
    let mut system = SystemState::after_init(0);
    let data = |base: u32, limit, attributes| Segment { selector: 0, attributes, limit, base: base.into() };
    let s = &mut system.segments;
    s.cs = data(regs.cs_base, regs.cs_limit, regs.cs_ar);
    s.ds = data(regs.ds_base, regs.ds_limit, regs.ds_ar);
    s.ss = data(regs.ss_base, regs.ss_limit, regs.ss_ar);
    s.es = data(regs.es_base, regs.es_limit, regs.es_ar);
    s.tr = data(regs.tr_base, regs.tr_limit, regs.tr_ar);
    system.cr0 = u64::from(regs.cr0) | CR0_ET;
    system.cr3 = regs.cr3.into();
    system.cr4 = regs.cr4.into();
    system.efer = regs.efer;
    Ok((gprs(regs.eip.into(), regs.eflags.into(), first.map(u64::from)), system))
}

fn state_64(regs: &abi::VcpuHvm64) -> Result<(Gprs, SystemState)> {
    let long = regs.efer & EFER_LME != 0 && regs.cr0 & (CR0_PE | CR0_PG) == CR0_PE | CR0_PG;
    ensure!(long && regs.cr4 & CR4_PAE != 0, EINVAL, "a 64-bit vCPU context without long mode set up");
    let first = [regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi];
    let mut system = SystemState::pvh_entry();
    system.segments.cs.attributes = 0xa9b;
    system.cr0 = regs.cr0 | CR0_ET;
    system.cr3 = regs.cr3;
    system.cr4 = regs.cr4;
    system.efer = regs.efer | EFER_LMA;
    Ok((gprs(regs.rip, regs.rflags, first), system))
}

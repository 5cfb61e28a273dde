//! CR8: the upper half of the local APIC's task priority, as a control register.
//!
//! It is intercepted, and not left to the processor's virtual task priority, because the virtual APIC chooses the
//! interrupts and has to see every change of what holds them back. Kernels that we know touch it once, if at all.

use super::{crash, fault};
use crate::domain::{Context, VcpuRef};
use crate::emulate;
use crate::guest_cpu::{CpuMode, Event, Gpr, GuestCpu};
use crate::hypervisor::Hypervisor;
use crate::interrupt;
use crate::machine::Machine;
use crate::vlapic::Effect;

/// MOV from CR8.
pub fn read<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let Some((register, len)) = operand(hv, vcpu, context) else { return };
    let value = u64::from(context.apic.cr8());
    context.guest.gprs_mut().set(register, value);
    context.guest.skip(len);
}

/// MOV to CR8.
pub fn write<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let Some((register, len)) = operand(hv, vcpu, context) else { return };
    let gprs = context.guest.gprs();
    let value = match context.guest.control().mode {
        CpuMode::Bits64 => gprs.get(register),
        _ => gprs.get32(register).into(),
    };
    if value > 0xf {
        context.guest.inject(Event::GENERAL_PROTECTION);
        return;
    }
    context.apic.set_cr8(value as u8);
    interrupt::apply(hv, vcpu, context, Effect::None);
    context.guest.skip(len);
}

/// The instruction's general register and length. If another instruction is there by now, the guest has changed its
/// code under its own feet.
fn operand<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) -> Option<(Gpr, u8)> {
    let mut buffer = [0; 15];
    let bytes = fault::fetch(vcpu, context, &mut buffer);
    let found = emulate::cr8_operand(bytes, context.guest.control().mode);
    if found.is_none() {
        crash(hv, vcpu, context, format_args!("an access to CR8 by the instruction {bytes:02x?}"));
    }
    found
}

//! CPUID.

use super::skip;
use crate::cpuid;
use crate::domain::{Context, VcpuRef};
use crate::emulate::Exiting;
use crate::guest_cpu::{Gpr, GuestCpu};
use crate::machine::Machine;

/// Answers from the domain's policy.
#[inline]
pub fn handle<M: Machine>(vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let gprs = context.guest.gprs();
    let (leaf, subleaf) = (gprs.get32(Gpr::Rax), gprs.get32(Gpr::Rcx));
    let state = cpuid::Vcpu {
        id: vcpu.id,
        apic_id: context.apic.identity().id,
        cr4: context.guest.control().cr4,
        xcr0: context.guest.xcr0(),
    };
    let [eax, ebx, ecx, edx] = vcpu.domain().cpuid.read().query(leaf, subleaf, &state);
    let gprs = context.guest.gprs_mut();
    gprs.set(Gpr::Rax, eax.into());
    gprs.set(Gpr::Rbx, ebx.into());
    gprs.set(Gpr::Rcx, ecx.into());
    gprs.set(Gpr::Rdx, edx.into());
    skip(vcpu, context, Exiting::Cpuid);
}

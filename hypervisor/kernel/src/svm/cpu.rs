//! SVM on one physical CPU.
//!
//! Invariant: a CPU's slot in `CPUS` is filled by [`enable`] on that CPU, after its GS, TR and LDTR have their final
//! values (the VMSAVE state that every exit reloads), and never changes afterwards.

#![allow(unsafe_code, reason = "turns SVM on")]

use core::arch::asm;

use raw_cpuid::CpuId;
use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;
use tenon_core::machine::MAX_CPUS;
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};

use super::permissions;
use super::vmcb::Vmcb;
use crate::cpu::{self, msr};
use crate::guest::Tags;
use crate::mm::pages::{self, Pages};

const VM_CR: u32 = 0xc001_0114;
const VM_CR_SVMDIS: u64 = 1 << 4;
const VM_HSAVE_PA: u32 = 0xc001_0117;

/// What a CPU needs to run guests.
pub struct SvmCpu {
    /// Where VMLOAD finds the host's state.
    pub host_vmcb: Maddr,
    /// Its TLB tags.
    pub tags: Tags,
}

static CPUS: [Once<SvmCpu>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];

tenon_core::errors! {
    /// Why a CPU cannot run guests.
    #[derive(Clone, Copy, Debug)]
    pub enum Unusable {
        /// No AMD-V.
        NotThere => "this CPU has no AMD-V (CPUID 8000_0001h ecx bit 2)";
        /// The firmware has turned it off.
        Locked => "AMD-V is turned off by the firmware (VM_CR.SVMDIS): enable SVM in its set-up";
        /// No nested paging.
        NoNestedPaging => "this CPU has AMD-V but no nested paging (CPUID 8000_000Ah edx bit 0)";
        /// No memory for this CPU's state.
        OutOfMemory => "out of memory for a CPU's AMD-V state";
    }
}

impl From<NoMemory> for Unusable {
    fn from(_: NoMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Checks that this CPU has what is needed; returns its number of address space ids.
fn probe() -> Result<u32, Unusable> {
    let svm = CpuId::new().get_svm_info().ok_or(Unusable::NotThere)?;
    if !svm.has_nested_paging() {
        return Err(Unusable::NoNestedPaging);
    }
    if msr::try_read(VM_CR).is_some_and(|value| value & VM_CR_SVMDIS != 0) {
        return Err(Unusable::Locked);
    }
    Ok(svm.supported_asids().max(2))
}

/// Checks that the CPUs can run guests and makes what they share. Once, at boot, before any is [enabled](enable).
pub fn prepare() -> Result<(), Unusable> {
    probe()?;
    Ok(permissions::init()?)
}

/// Turns SVM on for this CPU.
pub fn enable() -> Result<(), Unusable> {
    let asids = probe()?;
    let this = cpu::this().id;
    let host_save = pages::give(pages::zeroed::<Pages<4096>>()?);
    let host_vmcb = pages::give(pages::zeroed::<Vmcb>()?);
    // SAFETY: SVM exists and is not locked. The host-save page is leaked to the CPU, which writes to it at each VMRUN.
    // VMSAVE only writes to the page it is given, which is leaked too.
    unsafe {
        Efer::update(|efer| efer.insert(EferFlags::SECURE_VIRTUAL_MACHINE_ENABLE));
        Msr::new(VM_HSAVE_PA).write(host_save.0);
        asm!("vmsave rax", in("rax") host_vmcb.0, options(nostack, preserves_flags));
    }
    CPUS[this.index()].call_once(|| SvmCpu { host_vmcb, tags: Tags::new(this.0, asids) });
    Ok(())
}

/// This CPU's state. `None` if [`enable`] has not run here.
#[inline]
pub fn this() -> Option<&'static SvmCpu> {
    CPUS[cpu::this().id.index()].get()
}

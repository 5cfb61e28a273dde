//! RDMSR and WRMSR of the registers that are not switched by hardware.
//!
//! Four kinds: the local APIC's; those that act (EFER, TSC, the hypercall page); those that are only remembered
//! (MTRRs: nested paging decides memory types, but kernels check what they wrote); and those that read as a fixed value
//! on every machine we know kernels to probe. Anything else is #GP, which kernels expect of an unknown MSR.

use hypercall_abi::arch::MSR_HYPERCALL;
use hypercall_abi::hvm::HwMtrr;

use super::skip;
use crate::domain::{Context, VcpuRef};
use crate::emulate::Exiting;
use crate::exit::GuestClock;
use crate::guest_cpu::bits::{CR0_PG, EFER_FFXSR, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE};
use crate::guest_cpu::{Event, Gpr, GuestCpu};
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::interrupt;
use crate::machine::Machine;
use crate::vlapic::{APIC_BASE_MSR, TSC_DEADLINE_MSR, X2APIC_MSRS, X2APIC_MSRS_LAST};

const TSC: u32 = 0x10;
const PLATFORM_ID: u32 = 0x17;
const FEATURE_CONTROL: u32 = 0x3a;
const TSC_ADJUST: u32 = 0x3b;
const PATCH_LEVEL: u32 = 0x8b;
const MTRR_CAP: u32 = 0xfe;
const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
const MISC_ENABLE: u32 = 0x1a0;
const DEBUGCTL: u32 = 0x1d9;
const MTRR_DEF_TYPE: u32 = 0x2ff;
const EFER: u32 = 0xc000_0080;
const SYSCFG: u32 = 0xc001_0010;
const HWCR: u32 = 0xc001_0015;
const DE_CFG: u32 = 0xc001_1029;

/// Eight variable ranges, fixed ranges, write combining.
const MTRR_CAP_VALUE: u64 = 0x508;
/// Enabled, fixed ranges too, default write-back: what the firmware of a machine with flat memory leaves.
const MTRR_DEF_TYPE_VALUE: u64 = 0xc06;
/// The TSC counts at the frequency of P0 (AMD).
const HWCR_TSC_FREQ_SEL: u64 = 1 << 24;
/// LFENCE is serializing (AMD).
const DE_CFG_LFENCE_SERIALIZE: u64 = 1 << 1;
const EFER_WRITABLE: u64 = EFER_SCE | EFER_LME | EFER_NXE | EFER_FFXSR;

/// Nothing is enabled, and that stays so (Intel). Kernels lock it themselves where it is not.
const FEATURE_CONTROL_LOCKED: u64 = 1;

const FIXED_MTRRS: [u32; 11] = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

/// MSRs that are only remembered.
#[derive(Clone, Debug)]
pub struct MsrStore {
    /// As a save record has them; PAT is not among them.
    mtrrs: HwMtrr,
    misc_enable: u64,
}

impl Default for MsrStore {
    fn default() -> Self {
        Self {
            mtrrs: HwMtrr {
                msr_pat_cr: 0,
                msr_mtrr_var: [0; 16],
                msr_mtrr_fixed: [0x0606_0606_0606_0606; 11],
                msr_mtrr_cap: MTRR_CAP_VALUE,
                msr_mtrr_def_type: MTRR_DEF_TYPE_VALUE,
            },
            misc_enable: 0,
        }
    }
}

impl MsrStore {
    /// The MTRRs, as a save record has them. PAT is not among them.
    pub fn mtrrs(&self) -> HwMtrr {
        self.mtrrs
    }

    /// Replaces the MTRRs by those of a record.
    pub fn set_mtrrs(&mut self, record: &HwMtrr) {
        self.mtrrs = HwMtrr { msr_pat_cr: 0, msr_mtrr_cap: MTRR_CAP_VALUE, ..*record };
    }

    fn slot(&mut self, msr: u32) -> Option<&mut u64> {
        match msr {
            0x200..0x210 => self.mtrrs.msr_mtrr_var.get_mut((msr - 0x200) as usize),
            MTRR_DEF_TYPE => Some(&mut self.mtrrs.msr_mtrr_def_type),
            MISC_ENABLE => Some(&mut self.misc_enable),
            _ => {
                let at = FIXED_MTRRS.iter().position(|m| *m == msr)?;
                self.mtrrs.msr_mtrr_fixed.get_mut(at)
            }
        }
    }
}

/// RDMSR.
pub fn read<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let msr = context.guest.gprs().get32(Gpr::Rcx);
    match value_of(hv, context, msr) {
        Some(value) => {
            context.guest.gprs_mut().set_edx_eax(value);
            skip(vcpu, context, Exiting::Rdmsr);
        }
        None => {
            hv_log!(hv, Debug, "{vcpu} reads MSR {msr:#x}, which it does not have");
            context.guest.inject(Event::GENERAL_PROTECTION);
        }
    }
}

fn value_of<M: Machine>(hv: &Hypervisor<M>, context: &mut Context<M>, msr: u32) -> Option<u64> {
    let clock = GuestClock::new(hv.machine, context.tsc_offset);
    Some(match msr {
        X2APIC_MSRS..=X2APIC_MSRS_LAST | TSC_DEADLINE_MSR | APIC_BASE_MSR => {
            return context.apic.read_msr(msr, &clock);
        }
        EFER => context.guest.control().efer,
        TSC_ADJUST => context.tsc_offset,
        MTRR_CAP => MTRR_CAP_VALUE,
        HWCR => HWCR_TSC_FREQ_SEL,
        DE_CFG => DE_CFG_LFENCE_SERIALIZE,
        FEATURE_CONTROL => FEATURE_CONTROL_LOCKED,
        PLATFORM_ID | PATCH_LEVEL | MCG_CAP | MCG_STATUS | DEBUGCTL | SYSCFG => 0,
        msr => *context.msrs.slot(msr)?,
    })
}

/// WRMSR.
pub fn write<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    if set(hv, vcpu, context).is_some() {
        skip(vcpu, context, Exiting::Wrmsr);
    } else {
        let gprs = context.guest.gprs();
        let (msr, value) = (gprs.get32(Gpr::Rcx), gprs.edx_eax());
        hv_log!(hv, Debug, "{vcpu} writes {value:#x} to MSR {msr:#x}, which it cannot");
        context.guest.inject(Event::GENERAL_PROTECTION);
    }
}

fn set<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) -> Option<()> {
    let gprs = context.guest.gprs();
    let (msr, value) = (gprs.get32(Gpr::Rcx), gprs.edx_eax());
    let clock = GuestClock::new(hv.machine, context.tsc_offset);
    match msr {
        X2APIC_MSRS..=X2APIC_MSRS_LAST | TSC_DEADLINE_MSR | APIC_BASE_MSR => {
            let effect = context.apic.write_msr(msr, value, &clock)?;
            interrupt::apply(hv, vcpu, context, effect);
        }
        EFER => set_efer(context, value)?,
        TSC => set_tsc_offset(hv, vcpu, context, value.wrapping_sub(hv.machine.tsc().0)),
        TSC_ADJUST => set_tsc_offset(hv, vcpu, context, value),
        MSR_HYPERCALL => {
            crate::hypercall::page::install(vcpu, context, value)?;
            // The layout of the shared page is known now, and with it where the wall clock is.
            crate::shared::publish_wall_clock(hv, vcpu.domain());
        }
        PATCH_LEVEL | MCG_STATUS | DEBUGCTL | SYSCFG | HWCR | DE_CFG => {}
        msr => *context.msrs.slot(msr)? = value,
    }
    Some(())
}

fn set_efer<M: Machine>(context: &mut Context<M>, value: u64) -> Option<()> {
    let mut system = context.guest.system();
    let changes_lme = (value ^ system.efer) & EFER_LME != 0;
    if value & !(EFER_WRITABLE | EFER_LMA) != 0 || changes_lme && system.cr0 & CR0_PG != 0 {
        return None;
    }
    system.efer = value & EFER_WRITABLE | system.efer & EFER_LMA;
    context.guest.set_system(&system);
    Some(())
}

fn set_tsc_offset<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>, offset: u64) {
    context.tsc_offset = offset;
    context.load_tsc(hv.machine);
    crate::shared::publish_time(hv, vcpu, context);
    interrupt::run_timers(hv, vcpu, context);
}

//! The leaves at 0x40000000 by which a guest finds Xen's interface (`public/arch-x86/cpuid.h`).

use hypercall_abi::arch::{
    CPUID_FIRST_LEAF, CPUID_LEAF_HVM, CPUID_LEAF_HYPERCALL, CPUID_LEAF_TIME, CPUID_LEAF_VERSION,
    CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX, CpuidHvmFeatures, MSR_HYPERCALL,
};

use super::{Policy, Regs, Vcpu};

/// The interface version that is spoken: 4.17.
const VERSION: u32 = 4 << 16 | 17;
const FEATURES: CpuidHvmFeatures = CpuidHvmFeatures::X2APIC_VIRT
    .union(CpuidHvmFeatures::VCPU_ID_PRESENT)
    .union(CpuidHvmFeatures::DOMID_PRESENT)
    .union(CpuidHvmFeatures::UPCALL_VECTOR);

/// What the time leaf tells: how the guest's TSC counts, and how TSC becomes nanoseconds
/// (`((tsc << shift) * mul) >> 32`, as in `vcpu_time_info`). It is the host's, and is never emulated.
#[derive(Clone, Copy, Debug)]
pub struct TimeLeaf {
    /// The TSC is invariant and in step on all CPUs.
    pub reliable: bool,
    /// Xen's `tsc_mode` (0 default, 2 native).
    pub mode: u32,
    /// TSC frequency in kHz.
    pub khz: u32,
    /// How often the guest moved.
    pub incarnation: u32,
    /// Multiplier of the conversion.
    pub mul: u32,
    /// Shift of the conversion.
    pub shift: i8,
}

impl Policy {
    pub(super) fn xen_leaf(&self, leaf: u32, subleaf: u32, vcpu: &Vcpu) -> Regs {
        let time = &self.time;
        match (leaf, subleaf) {
            (CPUID_FIRST_LEAF, _) => {
                [CPUID_LEAF_HVM, CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX]
            }
            (CPUID_LEAF_VERSION, _) => [VERSION, 0, 0, 0],
            (CPUID_LEAF_HYPERCALL, _) => [1, MSR_HYPERCALL, 0, 0],
            (CPUID_LEAF_TIME, 0) => [u32::from(time.reliable) << 1, time.mode, time.khz, time.incarnation],
            (CPUID_LEAF_TIME, 1) => [0, 0, time.mul, time.shift as u8 as u32],
            (CPUID_LEAF_TIME, 2) => [time.khz, 0, 0, 0],
            (CPUID_LEAF_HVM, 0) => [FEATURES.bits(), vcpu.id.0, u32::from(self.domain.0), 0],
            _ => [0; 4],
        }
    }
}

//! The leaves at 0x40000000 by which a guest finds Xen's interface (`public/arch-x86/cpuid.h`).

use super::{Config, Regs, Vcpu};
use crate::ids::DomId;

/// The first of the leaves, also the number of the MSR that installs the hypercall page.
pub const XEN_LEAVES: u32 = 0x4000_0000;
/// MSR by which a guest asks for its hypercall page.
pub const HYPERCALL_PAGE_MSR: u32 = 0x4000_0000;

/// Offset of the last leaf.
const LAST: u32 = 4;
const SIGNATURE: [u32; 3] =
    [u32::from_le_bytes(*b"XenV"), u32::from_le_bytes(*b"MMXe"), u32::from_le_bytes(*b"nVMM")];
/// The interface version that is spoken: 4.17.
const VERSION: u32 = 4 << 16 | 17;

const X2APIC_VIRT: u32 = 1 << 1;
const IOMMU_MAPPINGS: u32 = 1 << 2;
const VCPU_ID_PRESENT: u32 = 1 << 3;
const DOMID_PRESENT: u32 = 1 << 4;
const UPCALL_VECTOR: u32 = 1 << 6;

/// What the time leaf tells: how the guest's TSC counts, and how TSC becomes nanoseconds
/// (`((tsc << shift) * mul) >> 32`, as in `vcpu_time_info`).
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeLeaf {
    /// The host's TSC is invariant and in step on all CPUs.
    pub reliable: bool,
    /// RDTSC exits and is emulated.
    pub emulated: bool,
    /// Xen's `tsc_mode` (0 default, 1 emulate, 2 native).
    pub mode: u32,
    /// Guest TSC frequency in kHz.
    pub guest_khz: u32,
    /// Host TSC frequency in kHz.
    pub host_khz: u32,
    /// How often the guest moved.
    pub incarnation: u32,
    /// What is added to the host's TSC.
    pub offset: u64,
    /// Multiplier of the conversion.
    pub mul: u32,
    /// Shift of the conversion.
    pub shift: i8,
}

/// The precomputed leaves of one domain.
#[derive(Clone, Debug)]
pub(super) struct XenLeaves {
    features: u32,
    domain: DomId,
    rdtscp: bool,
    pub(super) time: TimeLeaf,
}

impl XenLeaves {
    pub(super) fn new(config: &Config, rdtscp: bool) -> Self {
        let mut features = VCPU_ID_PRESENT | DOMID_PRESENT | UPCALL_VECTOR;
        if config.offer.x2apic {
            features |= X2APIC_VIRT;
        }
        if config.offer.iommu_mappings {
            features |= IOMMU_MAPPINGS;
        }
        Self { features, domain: config.domain, rdtscp, time: config.time }
    }

    pub(super) fn leaf(&self, offset: u32, subleaf: u32, vcpu: &Vcpu) -> Regs {
        let time = &self.time;
        match (offset, subleaf) {
            (0, _) => [XEN_LEAVES + LAST, SIGNATURE[0], SIGNATURE[1], SIGNATURE[2]],
            (1, _) => [VERSION, 0, 0, 0],
            (2, _) => [1, HYPERCALL_PAGE_MSR, 0, 0],
            (3, 0) => {
                let flags =
                    u32::from(time.emulated) | u32::from(time.reliable) << 1 | u32::from(self.rdtscp) << 2;
                [flags, time.mode, time.guest_khz, time.incarnation]
            }
            (3, 1) => [time.offset as u32, (time.offset >> 32) as u32, time.mul, time.shift as u8 as u32],
            (3, 2) => [time.host_khz, 0, 0, 0],
            (4, 0) => [self.features, vcpu.id.0, u32::from(self.domain.0), 0],
            _ => [0; 4],
        }
    }
}

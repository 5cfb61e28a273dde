//! What a machine can offer to any of its guests, and the policy of one guest made from it.

use super::{Config, HostCpuid, Policy, Regs, TimeLeaf};
use crate::ids::DomId;
use crate::machine::Machine;

/// What CPUs and backend together can offer. See [`Config`] for what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of `Config`")]
pub struct Offer {
    pub xcr0_limit: u64,
    pub xsaves: bool,
    pub x2apic: bool,
    pub tsc_aux: bool,
    pub speculation_controls: bool,
    pub iommu_mappings: bool,
    pub physical_bits: u8,
}

/// The machine's CPUID.
#[derive(Clone, Copy, Debug)]
pub struct OnHost<M>(pub M);

impl<M: Machine> HostCpuid for OnHost<M> {
    fn leaf(&self, leaf: u32, subleaf: u32) -> Regs {
        self.0.cpuid(leaf, subleaf)
    }
}

impl Policy {
    /// What a domain of that number and size sees on this machine, before the tools take anything away.
    pub fn for_domain(machine: impl Machine, stable_tsc: bool, domain: DomId, vcpus: u32) -> Self {
        let offer = machine.guest_features();
        let scale = machine.tsc_scale();
        let khz = (scale.hz / 1000) as u32;
        let config = Config {
            domain,
            vcpus,
            xcr0_limit: offer.xcr0_limit,
            xsaves: offer.xsaves,
            x2apic: offer.x2apic,
            tsc_aux: offer.tsc_aux,
            invariant_tsc: stable_tsc,
            speculation_controls: offer.speculation_controls,
            iommu_mappings: offer.iommu_mappings,
            physical_bits: offer.physical_bits,
            time: TimeLeaf {
                reliable: stable_tsc,
                guest_khz: khz,
                host_khz: khz,
                incarnation: 1,
                mul: scale.mul,
                shift: scale.shift,
                ..TimeLeaf::default()
            },
        };
        Self::new(&OnHost(machine), &config)
    }
}

//! What a machine can offer to any of its guests, and the policy of one guest made from it.

use super::{Config, HostCpuid, Policy, Regs, TimeLeaf};
use crate::ids::DomId;
use crate::machine::Machine;

/// What CPUs and backend together can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// XCR0 bits that may be offered: those whose state the vCPU switch saves.
    pub xcr0_limit: u64,
    /// Offer XSAVES (with no supervisor state): the backend lets it through.
    pub xsaves: bool,
    /// Offer x2APIC mode.
    pub x2apic: bool,
    /// TSC_AUX is switched with the vCPU, so RDTSCP and RDPID can be offered.
    pub tsc_aux: bool,
    /// `SPEC_CTRL` and `PRED_CMD` are the guest's own.
    pub speculation_controls: bool,
    /// Foreign memory that the domain maps gets IOMMU mappings.
    pub iommu_mappings: bool,
    /// The most physical address bits to show.
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
        let scale = machine.tsc_scale();
        let khz = (scale.hz / 1000) as u32;
        let config = Config {
            domain,
            vcpus,
            offer: machine.guest_features(),
            invariant_tsc: stable_tsc,
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

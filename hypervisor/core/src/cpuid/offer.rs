//! What a machine can offer to any of its guests, and the policy of one guest made from it.

use super::{Config, Policy, TimeLeaf};
use crate::ids::DomId;
use crate::machine::Machine;

/// What CPUs and backend together can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// XCR0 bits that may be offered: those whose state the vCPU switch saves.
    pub xcr0_limit: u64,
    /// The most physical address bits to show.
    pub physical_bits: u8,
}

impl Policy {
    /// What a domain of that number and size sees on this machine, before the tools take anything away.
    pub fn for_domain(machine: impl Machine, stable_tsc: bool, domain: DomId, vcpus: u32) -> Self {
        let scale = machine.tsc_scale();
        let time = TimeLeaf {
            reliable: stable_tsc,
            mode: 0,
            khz: (scale.hz / 1000) as u32,
            incarnation: 1,
            mul: scale.mul,
            shift: scale.shift,
        };
        let config = Config { domain, vcpus, offer: machine.guest_features(), time };
        Self::new(&|leaf, subleaf| machine.cpuid(leaf, subleaf), &config)
    }
}

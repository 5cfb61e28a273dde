//! What CPUID tells a guest.
//!
//! A [`Policy`] is worked out once per domain from the host's leaves and holds every answer; a lookup is an index
//! and at most a patch with the vCPU's own state. It is shared by the domain's vCPUs and changes only before the
//! domain first runs.

use hypercall_abi::arch::CPUID_FIRST_LEAF;

use crate::guest_cpu::bits::{CR4_OSXSAVE, CR4_PKE};
use crate::ids::{DomId, VcpuId};

mod build;
mod features;
mod offer;
mod table;
#[cfg(test)]
mod tests;
mod topology;
mod xen;
mod xstate;

pub use offer::Offer;
pub use table::{RestrictError, entry};
pub use xen::TimeLeaf;

use topology::Topology;
use xstate::XState;

/// EAX, EBX, ECX, EDX.
pub type Regs = [u32; 4];

/// Leaves 0 to 0xd.
const BASIC_LEAVES: usize = 0xe;
/// The first extended leaf.
const EXTENDED: u32 = 0x8000_0000;
/// Leaves 0x80000000 to 0x80000021.
const EXTENDED_LEAVES: usize = 0x22;

/// The CPU that the host has: the answer to CPUID with a leaf in EAX and a subleaf in ECX.
pub type Host<'a> = &'a dyn Fn(u32, u32) -> Regs;

/// What a domain is to see.
#[derive(Clone, Debug)]
pub struct Config {
    /// The domain, told in the Xen leaves.
    pub domain: DomId,
    /// The most vCPUs it can have.
    pub vcpus: u32,
    /// What the machine can offer.
    pub offer: Offer,
    /// The time leaf.
    pub time: TimeLeaf,
}

/// The vCPU state that answers depend on.
#[derive(Clone, Copy, Debug)]
pub struct Vcpu {
    /// The vCPU.
    pub id: VcpuId,
    /// Its APIC id.
    pub apic_id: u32,
    /// CR4 as the guest sees it.
    pub cr4: u64,
    /// XCR0.
    pub xcr0: u64,
}

impl Vcpu {
    const BOOT: Self = Self { id: VcpuId(0), apic_id: 0, cr4: 0, xcr0: 1 };
}

/// One domain's answers.
#[derive(Clone, Debug)]
pub struct Policy {
    basic: [Regs; BASIC_LEAVES],
    extended: [Regs; EXTENDED_LEAVES],
    /// Leaf 4.
    caches: [Regs; 8],
    /// Leaf 7.
    structured: [Regs; 2],
    xstate: XState,
    topology: Topology,
    domain: DomId,
    /// The time leaf.
    pub time: TimeLeaf,
}

impl Policy {
    /// The answer to CPUID on `vcpu`. Leaves that do not exist are all zero.
    pub fn query(&self, leaf: u32, subleaf: u32, vcpu: &Vcpu) -> Regs {
        if let Some(regs) = self.basic.get(leaf as usize) {
            if leaf > self.basic[0][0] {
                return [0; 4];
            }
            return match leaf {
                1 => {
                    let [eax, ebx, ecx, edx] = *regs;
                    let osxsave = ecx & features::XSAVE != 0 && vcpu.cr4 & CR4_OSXSAVE != 0;
                    let dynamic = if osxsave { features::OSXSAVE } else { 0 };
                    [eax, ebx | vcpu.apic_id << 24, ecx | dynamic, edx]
                }
                4 => self.caches.get(subleaf as usize).copied().unwrap_or_default(),
                7 => {
                    let mut regs = self.structured.get(subleaf as usize).copied().unwrap_or_default();
                    if subleaf == 0 && regs[2] & features::PKU != 0 && vcpu.cr4 & CR4_PKE != 0 {
                        regs[2] |= features::OSPKE;
                    }
                    regs
                }
                0xb => self.topology.extended(subleaf, vcpu.apic_id),
                0xd => self.xstate.leaf(subleaf, vcpu.xcr0),
                _ => *regs,
            };
        }
        match leaf & 0xffff_0000 {
            CPUID_FIRST_LEAF => self.xen_leaf(leaf, subleaf, vcpu),
            EXTENDED if leaf <= self.extended[0][0] => {
                self.extended.get((leaf - EXTENDED) as usize).copied().unwrap_or_default()
            }
            _ => [0; 4],
        }
    }
}

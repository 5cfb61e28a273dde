//! Topology: one package, one thread per core, APIC ids twice the vCPU's index.

use super::Regs;

/// The shape of a domain's vCPUs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Topology {
    vcpus: u32,
    /// Bits of an APIC id within the package.
    package_bits: u32,
}

impl Topology {
    pub(super) fn new(vcpus: u32) -> Self {
        let vcpus = vcpus.max(1);
        let last_id = (vcpus - 1).saturating_mul(2) | 1;
        Self { vcpus, package_bits: u32::BITS - last_id.leading_zeros() }
    }

    pub(super) const fn is_smp(&self) -> bool {
        self.vcpus > 1
    }

    /// Leaf 1 EBX bits 23:16: APIC ids set aside for the package.
    pub(super) const fn package_ids(&self) -> u32 {
        if self.package_bits >= 8 { 0xff } else { 1 << self.package_bits }
    }

    /// Leaf 0xb; EDX is the vCPU's APIC id.
    pub(super) const fn extended(&self, subleaf: u32, apic_id: u32) -> Regs {
        match subleaf {
            0 => [1, 1, 1 << 8, apic_id],
            1 => [self.package_bits, self.vcpus & 0xffff, 2 << 8 | 1, apic_id],
            _ => [0, 0, subleaf & 0xff, apic_id],
        }
    }

    /// Leaf 4 EAX: the first two cache levels belong to a core, the others to the package.
    pub(super) fn cache(&self, eax: u32) -> u32 {
        let cores = (self.package_ids() / 2).min(64);
        let sharing = if eax >> 5 & 7 <= 2 { 2 } else { self.package_ids() };
        eax & 0x3fff | (sharing - 1) << 14 | (cores - 1) << 26
    }

    /// Leaf 0x80000008 ECX as AMD has it: cores, and bits of the APIC id that number them.
    pub(super) fn amd_cores(&self) -> u32 {
        (self.vcpus - 1).min(255) | (self.package_bits & 0xf) << 12
    }
}

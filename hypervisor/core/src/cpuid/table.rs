//! The policy as a list of leaves, the form that `XEN_DOMCTL_get_cpu_policy` and `set_cpu_policy` carry
//! (`xen_cpuid_leaf` of `public/arch-x86/xen.h`).

use hypercall_abi::arch::{CPUID_FIRST_LEAF, CPUID_NO_SUBLEAF, CpuidLeaf};

use super::features as f;
use super::{BASIC_LEAVES, EXTENDED, EXTENDED_LEAVES, Policy, Regs, Vcpu};
use crate::refusals;

/// Where a second hypervisor interface would have its leaves.
const VIRIDIAN_RANGE: u32 = CPUID_FIRST_LEAF + 0x100;

/// An entry of the list: what `answer` gives for a leaf and, if it has them, a subleaf.
pub fn entry(leaf: u32, subleaf: Option<u32>, answer: impl Fn(u32, u32) -> Regs) -> CpuidLeaf {
    let [a, b, c, d] = answer(leaf, subleaf.unwrap_or(0));
    CpuidLeaf { leaf, subleaf: subleaf.unwrap_or(CPUID_NO_SUBLEAF), a, b, c, d }
}

refusals! {
    /// Why the toolstack's policy is not taken.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RestrictError {
        /// It has a leaf beyond the last that the domain's has.
        BeyondLimit(leaf: u32, subleaf: u32)
            => EINVAL, "CPUID policy: leaf {leaf:#x} subleaf {subleaf:#x} is beyond what this host shows";
    }
}

impl Policy {
    /// Every leaf as the domain's first vCPU sees it before it set CR4 and XCR0.
    ///
    /// The list has the length that Xen's library gives a list of the same policy: with the empty leaf that ends the
    /// caches, the holes between the components of the extended state, and the hypervisor's two ranges. The tools
    /// write their own list into a buffer of this one's length.
    pub fn entries(&self) -> impl Iterator<Item = CpuidLeaf> {
        let answer = |leaf, subleaf| self.query(leaf, subleaf, &Vcpu::BOOT);
        let single = move |leaf| entry(leaf, None, answer);
        let sub = move |leaf, subleaf| entry(leaf, Some(subleaf), answer);
        let last_basic = self.basic[0][0].min(BASIC_LEAVES as u32 - 1);
        let basic = (0..=last_basic).filter(|leaf| !matches!(leaf, 4 | 7 | 0xb | 0xd)).map(single);
        let caches = self.caches.iter().take_while(|c| c[0] & 0x1f != 0).count();
        let xstate = if last_basic >= 0xd { self.xstate.subleaves() } else { 0..0 };
        let extended_leaves = match self.extended[0][0].checked_sub(EXTENDED) {
            Some(last) => last.saturating_add(1).min(EXTENDED_LEAVES as u32),
            None => 0,
        };
        basic
            .chain((0..=caches).map(move |i| sub(4, i as u32)))
            .chain((0..=self.structured[0][0].min(1)).map(move |i| sub(7, i)))
            .chain((0..2).map(move |i| sub(0xb, i)))
            .chain(xstate.map(move |i| sub(0xd, i)))
            .chain([CPUID_FIRST_LEAF, VIRIDIAN_RANGE].map(single))
            .chain((0..extended_leaves).map(move |i| single(EXTENDED + i)))
    }

    /// Takes features away as `entry` says. Features that the host or Tenon does not offer stay off, whatever the
    /// entry has; leaves that are no features (topology, sizes, names) are Tenon's and stay.
    ///
    /// # Errors
    /// [`RestrictError`] for a maximum leaf greater than the policy's own.
    pub fn restrict(&mut self, entry: &CpuidLeaf) -> Result<(), RestrictError> {
        const FIXED: u32 = u32::MAX;
        let CpuidLeaf { leaf, subleaf, a, b, c, d } = *entry;
        let last = match (leaf, subleaf) {
            (0, _) => self.basic[0][0],
            (EXTENDED, _) => self.extended[0][0],
            (7, 0) => self.structured[0][0],
            _ => u32::MAX,
        };
        if a > last {
            return Err(RestrictError::BeyondLimit(leaf, subleaf));
        }
        // With each leaf the bits of it that are not the toolstack's to take away.
        let (own, fixed) = match (leaf, subleaf) {
            // The APIC and the interface hang on these.
            (1, _) => (&mut self.basic[1], [FIXED, FIXED, f::X2APIC | f::HYPERVISOR, f::HTT | f::APIC]),
            (7, 0) => (&mut self.structured[0], [FIXED, 0, 0, 0]),
            (7, 1) => (&mut self.structured[1], [0; 4]),
            (0x8000_0001, _) => (&mut self.extended[1], [FIXED, FIXED, f::CMP_LEGACY, 0]),
            (0x8000_0007, _) => (&mut self.extended[7], [0; 4]),
            (0x8000_0008, _) => (&mut self.extended[8], [FIXED, 0, FIXED, FIXED]),
            (0x8000_0021, _) => (&mut self.extended[0x21], [0; 4]),
            (0xd, 0) => {
                self.xstate.restrict(u64::from(a) | u64::from(d) << 32);
                self.settle();
                return Ok(());
            }
            (0xd, 1) => {
                self.xstate.extras &= a;
                return Ok(());
            }
            _ => return Ok(()),
        };
        for ((own, given), fixed) in own.iter_mut().zip([a, b, c, d]).zip(fixed) {
            *own &= given | fixed;
        }
        self.settle();
        Ok(())
    }
}

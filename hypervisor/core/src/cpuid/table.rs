//! The policy as a list of leaves, the form that `XEN_DOMCTL_get_cpu_policy` and `set_cpu_policy` carry
//! (`xen_cpuid_leaf` of `public/arch-x86/xen.h`).

use core::fmt;

use hypercall_abi::errno::Errno;

use super::features as f;
use super::{BASIC_LEAVES, EXTENDED, EXTENDED_LEAVES, Policy, Regs, Vcpu, XEN_LEAVES};
use crate::refusal::Refusal;

/// Where a second hypervisor interface would have its leaves.
const VIRIDIAN_RANGE: u32 = XEN_LEAVES + 0x100;

/// The subleaf number of a leaf that has none.
pub const NO_SUBLEAF: u32 = 0xffff_ffff;

/// One leaf of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// EAX of the query.
    pub leaf: u32,
    /// ECX of the query, or [`NO_SUBLEAF`].
    pub subleaf: u32,
    /// EAX, EBX, ECX, EDX of the answer.
    pub regs: Regs,
}

/// The toolstack asked for a leaf beyond the last that the policy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondLimit {
    /// The leaf of the offending entry.
    pub leaf: u32,
    /// Its subleaf.
    pub subleaf: u32,
}

impl fmt::Display for BeyondLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CPUID policy: leaf {:#x} subleaf {:#x} is beyond what this host shows",
            self.leaf, self.subleaf
        )
    }
}

impl Refusal for BeyondLimit {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

impl Policy {
    /// Every leaf as the domain's first vCPU sees it before it set CR4 and XCR0.
    ///
    /// The list has the length that Xen's library gives a list of the same policy: with the empty leaf that ends the
    /// caches, the holes between the components of the extended state, and the hypervisor's two ranges. The tools
    /// write their own list into a buffer of this one's length.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let vcpu = Vcpu::BOOT;
        let single = move |leaf| Entry { leaf, subleaf: NO_SUBLEAF, regs: self.query(leaf, 0, &vcpu) };
        let sub = move |leaf, subleaf| Entry { leaf, subleaf, regs: self.query(leaf, subleaf, &vcpu) };
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
            .chain([XEN_LEAVES, VIRIDIAN_RANGE].map(single))
            .chain((0..extended_leaves).map(move |i| single(EXTENDED + i)))
    }

    /// Takes features away as `entry` says. Features that the host or Tenon does not offer stay off, whatever the
    /// entry has; leaves that are no features (topology, sizes, names) are Tenon's and stay.
    ///
    /// # Errors
    /// [`BeyondLimit`] for a maximum leaf greater than the policy's own.
    pub fn restrict(&mut self, entry: &Entry) -> Result<(), BeyondLimit> {
        let Entry { leaf, subleaf, regs } = *entry;
        let beyond = Err(BeyondLimit { leaf, subleaf });
        match (leaf, subleaf) {
            (0, _) if regs[0] > self.basic[0][0] => return beyond,
            (EXTENDED, _) if regs[0] > self.extended[0][0] => return beyond,
            (7, 0) if regs[0] > self.structured[0][0] => return beyond,
            (1, _) => {
                // Not the toolstack's to take away: the APIC and the interface hang on them.
                self.basic[1][2] &= regs[2] | f::X2APIC | f::HYPERVISOR;
                self.basic[1][3] &= regs[3] | f::HTT | 1 << 9;
            }
            (7, 0) => and(&mut self.structured[0], [u32::MAX, regs[1], regs[2], regs[3]]),
            (7, 1) => and(&mut self.structured[1], [regs[0], 0, 0, 0]),
            (0xd, 0) => self.xstate.restrict(u64::from(regs[0]) | u64::from(regs[3]) << 32),
            (0xd, 1) => self.xstate.extras &= regs[0],
            (0x8000_0001, _) => {
                and(&mut self.extended[1], [u32::MAX, u32::MAX, regs[2] | f::CMP_LEGACY, regs[3]]);
            }
            (0x8000_0007, _) => self.extended[7][3] &= regs[3],
            (0x8000_0008, _) => self.extended[8][1] &= regs[1],
            (0x8000_0021, _) => self.extended[0x21][0] &= regs[0],
            _ => {}
        }
        self.settle();
        Ok(())
    }
}

fn and(word: &mut Regs, mask: Regs) {
    for (w, m) in word.iter_mut().zip(mask) {
        *w &= m;
    }
}

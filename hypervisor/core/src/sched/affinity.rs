//! The soft affinity: CPUs that a vCPU had better run on, among those that it may.
//!
//! A wish, and nobody waits for it while a CPU idles. One that wakes goes to an idle CPU that it wishes for before another;
//! a CPU that takes others' work leaves those that are where they wish to be until there is nobody else. One that runs
//! elsewhere for all that is *astray*: a CPU that it wishes for and that goes idle calls it.

use super::queue::CpuQueue;
use super::{Cpus, SchedNode, Schedulable, Scheduler};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sync::atomic::{Ordering, fence};

/// Those of the `allowed` CPUs that it wishes for, if it can have one: else it has no wish.
pub(super) fn wished<V: Schedulable>(vcpu: &V, allowed: CpuMask) -> CpuMask {
    let wished = CpuMask(vcpu.node().soft_affinity().0 & allowed.0);
    if wished.0 == 0 { allowed } else { wished }
}

/// Whether it may go from where it waits to where it would have to run without losing a CPU that it wishes for.
pub(super) fn goes_gladly<V: Schedulable>(vcpu: &V, allowed: CpuMask, from: CpuId, to: CpuId) -> bool {
    let wished = wished(vcpu, allowed);
    wished.contains(to) || !wished.contains(from)
}

impl<C: Cpus, V: Schedulable> Scheduler<C, V> {
    /// Changes which CPUs a vCPU wishes for. Where it runs or waits on another, it moves if one of them is idle.
    pub fn set_soft_affinity(&self, vcpu: &V, cpus: CpuMask) {
        vcpu.node().set_soft_affinity(cpus);
        self.settle(vcpu);
    }

    /// The CPU whose queue a vCPU waits in if it finds none idle: its home, unless it should be elsewhere.
    #[inline]
    pub(super) fn waits_on(&self, vcpu: &V, soft: CpuMask, home: CpuId, allowed: CpuMask) -> CpuId {
        if soft.0 & allowed.0 & 1 << home.index() != 0 { home } else { self.moves_to(vcpu, home, allowed) }
    }

    #[cold]
    fn moves_to(&self, vcpu: &V, home: CpuId, allowed: CpuMask) -> CpuId {
        let wished = wished(vcpu, allowed);
        let weight = |cpu: &CpuId| self.cpus.get(cpu.index()).map_or(0, CpuQueue::weight);
        if wished.contains(home) { home } else { wished.iter().min_by_key(weight).unwrap_or(home) }
    }

    /// Whether a vCPU that ran here may go on here, as far as its affinities are concerned.
    #[inline]
    pub(super) fn stays_on(&self, vcpu: &V, node: &SchedNode, this: CpuId, allowed: CpuMask) -> bool {
        let bit = 1 << this.index();
        let soft = node.soft_affinity();
        soft.0 & allowed.0 & bit != 0 || allowed.0 & bit != 0 && !self.is_better_off(vcpu, this, allowed)
    }

    /// Whether one that it wishes for is idle, or has no more to do with it than this one has now.
    #[cold]
    fn is_better_off(&self, vcpu: &V, this: CpuId, allowed: CpuMask) -> bool {
        let soft = vcpu.node().soft_affinity();
        let weight = |cpu: CpuId| self.cpus.get(cpu.index()).map_or(0, CpuQueue::weight);
        let mut wished = CpuMask(soft.0 & allowed.0).iter();
        self.is_wished_idle(soft, allowed)
            || wished.any(|cpu| weight(cpu) + u64::from(vcpu.node().weight()) <= weight(this))
    }

    fn is_wished_idle(&self, soft: CpuMask, allowed: CpuMask) -> bool {
        self.idle.load(Ordering::SeqCst) & soft.0 & allowed.0 != 0
    }

    /// Notes that this CPU runs a vCPU that had better run elsewhere.
    #[cold]
    pub(super) fn runs_astray(&self, vcpu: &V, this: CpuId, allowed: CpuMask) {
        let soft = vcpu.node().soft_affinity();
        let Some(cpu) = self.cpus.get(this.index()).filter(|_| soft.0 & allowed.0 != 0) else { return };
        cpu.wished.store(soft.0 & allowed.0, Ordering::Relaxed);
        self.astray.fetch_or(1 << this.index(), Ordering::SeqCst);
        // A CPU says that it is idle, then looks for who wishes for it.
        fence(Ordering::SeqCst);
        if self.is_wished_idle(soft, allowed) {
            cpu.resched.store(true, Ordering::SeqCst);
        }
    }

    /// This CPU is idle and has said so: calls one that would rather run here.
    pub(super) fn call_astray(&self, this: CpuId) {
        let mut astray = CpuMask(self.astray.load(Ordering::SeqCst)).iter();
        let wishes = |cpu: &CpuId| {
            self.cpus
                .get(cpu.index())
                .is_some_and(|cpu| cpu.wished.load(Ordering::Relaxed) >> this.index() & 1 != 0)
        };
        if let Some(cpu) = astray.find(|cpu| wishes(cpu) && self.no_longer(&self.astray, *cpu)) {
            self.reschedule(cpu);
        }
    }
}

//! What the CPUs share: threads of one core its units, cores their last-level cache.

use alloc::boxed::Box;

use super::Cpus;
use crate::fallible::{self, NoMemory};
use crate::ids::CpuId;
use crate::machine::CpuMask;

/// Who is near whom.
pub(super) struct Topology {
    near: Box<[Near]>,
    /// Whether any core has more than one thread.
    has_threads: bool,
}

#[derive(Clone, Copy, Default)]
struct Near {
    /// The threads of its core.
    core: CpuMask,
    /// The CPUs under its last-level cache.
    cache: CpuMask,
}

impl Topology {
    pub fn of<C: Cpus>(machine: C) -> Result<Self, NoMemory> {
        let count = machine.cpus();
        let mut near = fallible::filled(count as usize, Near::default)?.into_boxed_slice();
        for (cpu, near) in (0..count).map(CpuId).zip(near.iter_mut()) {
            let here = machine.place(cpu);
            for (other, there) in (0..count).map(CpuId).map(|other| (other, machine.place(other))) {
                if here.same_core(&there) {
                    near.core.insert(other);
                }
                if here.same_core(&there) || here.cache == there.cache {
                    near.cache.insert(other);
                }
            }
        }
        let has_threads = near.iter().any(|near| near.core.0.count_ones() > 1);
        Ok(Self { near, has_threads })
    }

    /// The threads of a CPU's core.
    pub fn core(&self, cpu: CpuId) -> CpuMask {
        self.near.get(cpu.index()).map_or(CpuMask(0), |near| near.core)
    }

    /// The CPUs with the same last-level cache.
    pub fn cache(&self, cpu: CpuId) -> CpuMask {
        self.near.get(cpu.index()).map_or(CpuMask(0), |near| near.cache)
    }

    /// The best of some CPUs for one that was on `home`: one whose core has no other thread `busy`, then `home` itself,
    /// then one with the same cache.
    pub fn best(&self, home: CpuId, of: CpuMask, busy: CpuMask) -> Option<CpuId> {
        let is_whole = |cpu: &CpuId| !self.has_threads || self.core(*cpu).0 & busy.0 == 0;
        if of.contains(home) && is_whole(&home) {
            return Some(home);
        }
        let mut whole = CpuMask(0);
        of.iter().filter(is_whole).for_each(|cpu| whole.insert(cpu));
        let of = if whole.0 == 0 { of } else { whole };
        if of.contains(home) {
            return Some(home);
        }
        let near = CpuMask(of.0 & self.cache(home).0);
        near.iter().next().or_else(|| of.iter().next())
    }
}

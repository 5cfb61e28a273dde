//! CPU pools: whose vCPUs a CPU runs.
//!
//! Every domain is in one pool, and its vCPUs run on that pool's CPUs only. A CPU is in one pool or in none; then it runs
//! nothing. Who is in which pool is for [`Hypervisor`](crate::hypervisor::Hypervisor) to decide, one change at a time;
//! here is what follows for the queues.
//!
//! # Invariants
//! - A vCPU begins to run on a CPU only if, under that CPU's queue lock, the CPU was found to be in its pool.
//! - A CPU joins a pool only if, after it had left the one before, nobody was found there under that lock
//!   ([`Scheduler::is_deserted`]).
//! - A pool with domains that may run has a CPU. So [`Scheduler::allowed`] is never empty for a vCPU that is not held.
//!
//! So vCPUs of two pools never meet. Who queues a vCPU looks at the pool first and takes the queue's lock then; the CPU may
//! have left in between. It is told that somebody came, finds that it may not run the stray, and sends it on. CPUs that
//! are in no pool do that, too: they pick like all others, and there is never anything that they may run.

use super::affinity::wished;
use super::node::{SchedNode, State, set_state};
use super::{Cpus, MEMORY, Schedulable, Scheduler};
use crate::ids::{CpuId, PoolId};
use crate::machine::CpuMask;
use crate::sync::atomic::Ordering;
use crate::time::Nanos;

/// Pools are numbered from 0, and there are at most so many.
pub const MAX_POOLS: usize = if cfg!(loom) { 2 } else { 64 };

/// Where a vCPU was found that is to move.
enum Found {
    /// Where it may be, or on its way.
    InPlace,
    /// Running where it may not, or would rather not.
    Running(CpuId),
    /// On a queue, owed so much.
    Queued(i64),
    /// Asleep; it has another home now. It waited for a time, or for its domain's next period.
    Asleep { timer: bool, capped: bool },
}

impl<C: Cpus, V: Schedulable> Scheduler<C, V> {
    /// The CPUs of a pool; none if there is no such pool.
    pub fn pool_cpus(&self, pool: PoolId) -> CpuMask {
        CpuMask(self.pools.get(pool.index()).map_or(0, |cpus| cpus.load(Ordering::SeqCst)))
    }

    /// Where a vCPU may run: what its affinity, or with `sched=null` its seat, leaves of its pool; the whole pool if that is
    /// nothing.
    pub fn allowed(&self, vcpu: &V) -> CpuMask {
        self.allowed_by(vcpu, vcpu.node())
    }

    /// The same for a vCPU whose node is at hand.
    #[inline]
    pub(super) fn allowed_by(&self, vcpu: &V, node: &SchedNode) -> CpuMask {
        let pool = CpuMask(self.pools[vcpu.pool().index() % MAX_POOLS].load(Ordering::SeqCst));
        let both = CpuMask(node.bounds().0 & pool.0);
        if both.0 == 0 { pool } else { both }
    }

    /// The CPU where a vCPU is, or one where it will be.
    pub fn cpu_of(&self, vcpu: &V) -> CpuId {
        let (home, allowed) = (vcpu.node().home(), self.allowed(vcpu));
        if allowed.contains(home) { home } else { allowed.iter().next().unwrap_or(home) }
    }

    /// Adds a [deserted](Self::is_deserted) CPU that is in no pool to one.
    pub fn join_pool(&self, pool: PoolId, cpu: CpuId) {
        self.change_pool(pool, cpu, true);
        self.seat_standing();
        self.reschedule(cpu);
    }

    /// Takes a CPU out of its pool. Who runs or waits there leaves it soon: [`Self::evacuate`].
    pub fn leave_pool(&self, pool: PoolId, cpu: CpuId) {
        self.change_pool(pool, cpu, false);
    }

    fn change_pool(&self, pool: PoolId, cpu: CpuId, joins: bool) {
        let Some(cpus) = self.pools.get(pool.index()) else { return };
        let mut changed = CpuMask(cpus.load(Ordering::SeqCst));
        if joins {
            changed.insert(cpu);
        } else {
            changed.remove(cpu);
        }
        cpus.store(changed.0, Ordering::SeqCst);
        let in_pools = self.pools.iter().fold(0, |all, pool| all | pool.load(Ordering::Relaxed));
        self.in_pools.store(in_pools, Ordering::Relaxed);
        // Who queues somebody after this looks at the pool under the queue's lock.
        self.cpus.iter().for_each(|cpu| cpu.with(|queue| queue.refresh(|vcpu| self.allowed(vcpu))));
    }

    /// Sends away who is on a CPU that has left its pool: `vcpus` has all that may be at home there. Says whether all have
    /// gone; if not, the caller tries again soon, and if it runs on that CPU itself, leaves it meanwhile.
    pub fn evacuate(&self, cpu: CpuId, vcpus: impl Iterator<Item = V>) -> bool {
        let Some(queue) = self.cpus.get(cpu.index()) else { return true };
        self.wake_sleepers(queue, Nanos::NEVER, self.machine.now());
        vcpus.filter(|vcpu| vcpu.node().home() == cpu).for_each(|vcpu| self.settle(&vcpu));
        let deserted = self.is_deserted(cpu);
        if !deserted {
            self.reschedule(cpu);
        }
        deserted
    }

    /// Whether nobody runs or waits on a CPU, not even for a time.
    pub fn is_deserted(&self, cpu: CpuId) -> bool {
        self.cpus.get(cpu.index()).is_none_or(|cpu| cpu.with(|queue| queue.is_deserted()))
    }

    /// Has a vCPU move if it is where it may not be, or would rather not.
    pub fn settle(&self, vcpu: &V) {
        self.change_seats(vcpu);
        self.move_if_needed(vcpu);
    }

    pub(super) fn move_if_needed(&self, vcpu: &V) {
        let now = self.machine.now();
        let found = self.with_home(vcpu, |queue| {
            let (state, home, allowed) = (vcpu.node().state(), vcpu.node().home(), self.allowed(vcpu));
            match state {
                State::Running(cpu) if !wished(vcpu, allowed).contains(cpu) => Found::Running(cpu),
                State::Queued => queue.take(vcpu, now).map_or(Found::InPlace, Found::Queued),
                State::Parked | State::Capped if !allowed.contains(home) => {
                    let (timer, capped) = (queue.remove_timer(vcpu, vcpu.node()), state == State::Capped);
                    if capped {
                        set_state(vcpu, vcpu.node(), State::Parked, now);
                    }
                    self.move_home(vcpu, self.fewest_homes(wished(vcpu, allowed)).unwrap_or(home));
                    Found::Asleep { timer, capped }
                }
                State::Running(_) | State::Parked | State::Capped => Found::InPlace,
            }
        });
        match found {
            Found::InPlace => {}
            Found::Running(cpu) => self.reschedule(cpu),
            Found::Queued(lag) => self.enqueue(vcpu.clone(), lag, MEMORY, now),
            // The timer is not taken along: the vCPU looks at its clock, and sets it again.
            Found::Asleep { timer, capped } => {
                if timer && !capped {
                    vcpu.timer_is_due();
                }
                if timer || capped {
                    self.wake(vcpu);
                }
            }
        }
    }
}

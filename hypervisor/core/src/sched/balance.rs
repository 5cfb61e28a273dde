//! Evening out between the CPUs.
//!
//! The queues' clocks show how far each one's vCPUs have got. A CPU whose clock is ahead by more than half a slice takes
//! a vCPU that is as far behind from the queue that is furthest behind; a CPU without work takes any. So vCPUs that
//! cannot be spread evenly take turns on the CPU that has fewer. Who runs is left where it is.
//!
//! Clocks drift apart where nobody can move: a vCPU alone on its CPU, with more weight than a whole CPU is worth, falls
//! behind; a CPU whose vCPUs may run nowhere else goes at its own speed. A drift that the present load would not make
//! (behind a queue with more load, or ahead of one with less) is no claim on others: it is brought back to
//! [`MEMORY`] as soon as the other queue's vCPUs could be helped here.

use super::clock::slice;
use super::queue::CpuQueue;
use super::{Cpus, MEMORY, RELUCTANCE, Schedulable, Scheduler};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sync::atomic::{AtomicU64, Ordering, fence};

impl<C: Cpus, V: Schedulable> Scheduler<C, V> {
    /// The other CPUs at which somebody waits who may run on this one.
    pub(super) fn overloaded(&self, this: CpuId) -> impl Iterator<Item = (CpuId, &CpuQueue<V>)> {
        let others = self.cpus.iter().enumerate().map(|(i, cpu)| (CpuId(i as u32), cpu));
        others.filter(move |(id, cpu)| *id != this && cpu.helpers().contains(this))
    }

    /// Takes a vCPU that is further behind than this CPU's own, if there is one.
    #[inline(always)]
    pub(super) fn balance(&self, this: CpuId, cpu: &CpuQueue<V>) {
        let weight = cpu.weight();
        if weight == 0 {
            return;
        }
        let mut shift = 0;
        let mut tried = CpuMask(0);
        while let Some((id, other)) = self.furthest_behind(this, tried) {
            let lead = cpu.clock().plus(shift).ahead_of(other.clock());
            let limit = MEMORY * slice(weight.min(other.weight()));
            if tried.0 == 0 {
                let excess =
                    if weight < other.weight() { lead.min(-limit) + limit } else { lead.max(limit) - limit };
                shift = -excess;
            }
            let clock = cpu.clock().plus(shift);
            if clock.ahead_of(other.clock()) <= slice(weight) / 2 {
                break;
            }
            let is_called = other.resched.load(Ordering::Relaxed);
            let found = other.try_with(|queue| {
                if is_called && queue.is_awaited() {
                    return None;
                }
                let given =
                    queue.give(id, this, clock, slice(weight) / 2, RELUCTANCE * slice(weight), |_| true);
                given.inspect(|(vcpu, ..)| self.move_home(vcpu, this))
            });
            if let Some(Some((vcpu, lag))) = found {
                let now = self.machine.now();
                cpu.with(|queue| {
                    let allowed = self.allowed(&vcpu);
                    queue.admit(vcpu, allowed, lag, MEMORY, now)
                });
                break;
            }
            tried.insert(id);
        }
        if shift != 0 {
            cpu.with(|queue| queue.shift(shift));
        }
    }

    fn furthest_behind(&self, this: CpuId, tried: CpuMask) -> Option<(CpuId, &CpuQueue<V>)> {
        let rest = self.overloaded(this).filter(|(id, _)| !tried.contains(*id));
        rest.reduce(|first, next| if first.1.clock().ahead_of(next.1.clock()) > 0 { next } else { first })
    }

    /// Takes a vCPU that `who` names from any queue: this CPU has nothing to do. Best one that comes gladly, and from near.
    /// One is left that has just been sent to another CPU without work, which is on its way.
    pub(super) fn take_any(&self, this: CpuId, cpu: &CpuQueue<V>, who: impl Fn(&V) -> bool) -> bool {
        let near = self.topology.cache(this);
        let take = |(reluctant, is_near)| {
            let from = self.overloaded(this).filter(move |(id, _)| near.contains(*id) == is_near);
            from.into_iter().find_map(|(id, other)| {
                // One that waits here already, and may not run, has kept its place in time.
                let clock = if cpu.weight() == 0 { other.clock() } else { cpu.clock() };
                let (clock, is_called) = (clock, other.resched.load(Ordering::Relaxed));
                let found = other.with(|queue| {
                    if is_called && queue.is_awaited() {
                        return None;
                    }
                    let given = queue.give(id, this, clock, i64::MIN, reluctant, &who);
                    given.inspect(|(vcpu, ..)| self.move_home(vcpu, this))
                });
                if found.is_none() && !other.helpers().contains(this) {
                    // This CPU was called by mistake, for those that wait there no longer; another may have been meant.
                    self.call_idle_for(this, other);
                }
                found.map(|found| (found, clock))
            })
        };
        let found = [(i64::MAX, true), (i64::MAX, false), (i64::MIN, true), (i64::MIN, false)]
            .into_iter()
            .find_map(take);
        let Some(((vcpu, lag), clock)) = found else { return false };
        let now = self.machine.now();
        cpu.with(|queue| {
            queue.follow(clock, lag);
            let allowed = self.allowed(&vcpu);
            queue.admit(vcpu, allowed, lag, MEMORY, now)
        });
        true
    }

    /// Tells CPUs that could help with what waits here. Says whether this CPU should look again after a slice: because
    /// somebody waits here, or at another CPU that it could help.
    #[inline(always)]
    pub(super) fn call_helpers(&self, this: CpuId, cpu: &CpuQueue<V>) -> bool {
        let helpers = cpu.helpers();
        if cpu.is_waited_for() {
            fence(Ordering::SeqCst);
            if let Some(idle) = self.take_idle(this, helpers, helpers) {
                self.reschedule(idle);
            } else {
                let mut quiet = self.quiet.load(Ordering::SeqCst) & helpers.0;
                if quiet != 0 {
                    quiet = self.quiet.fetch_and(!helpers.0, Ordering::SeqCst) & helpers.0;
                }
                CpuMask(quiet).iter().for_each(|cpu| self.reschedule(cpu));
            }
            if self.idle.load(Ordering::Relaxed) != 0 {
                self.pass_calls_on(this);
            }
            return true;
        }
        self.quiet.fetch_or(1 << this.index(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Or somebody has come here just now, and did not find it quiet.
        let could_help = cpu.is_waited_for() || self.overloaded(this).next().is_some();
        if could_help {
            self.no_longer(&self.quiet, this);
            self.pass_calls_on(this);
        }
        could_help
    }

    /// This CPU has found work of its own. If it idled before, it may have been called for another's: one that idles still
    /// takes its place.
    #[cold]
    fn pass_calls_on(&self, this: CpuId) {
        self.overloaded(this).for_each(|(_, other)| self.call_idle_for(this, other));
    }

    /// Calls a CPU that idles and could run what waits at another.
    #[cold]
    fn call_idle_for(&self, this: CpuId, other: &CpuQueue<V>) {
        if let Some(idle) = self.take_idle(this, other.helpers(), other.helpers()) {
            self.reschedule(idle);
        }
    }

    /// Takes one of the allowed CPUs out of those that are idle: best one of `soft`, and the best of these for one that
    /// was on `home`.
    #[inline]
    pub(super) fn take_idle(&self, home: CpuId, allowed: CpuMask, soft: CpuMask) -> Option<CpuId> {
        loop {
            let idle = self.idle.load(Ordering::SeqCst);
            if idle & allowed.0 == 0 {
                return None;
            }
            let cpu = self.best_idle(
                home,
                CpuMask(idle & allowed.0),
                soft,
                CpuMask(self.in_pools.load(Ordering::Relaxed) & !idle),
            )?;
            if self.no_longer(&self.idle, cpu) {
                return Some(cpu);
            }
        }
    }

    fn best_idle(&self, home: CpuId, idle: CpuMask, soft: CpuMask, busy: CpuMask) -> Option<CpuId> {
        let wished = CpuMask(idle.0 & soft.0);
        self.topology.best(home, if wished.0 == 0 { idle } else { wished }, busy)
    }

    /// Takes a CPU out of a set; false if it was not in it.
    pub(super) fn no_longer(&self, set: &AtomicU64, cpu: CpuId) -> bool {
        let bit = 1 << cpu.index();
        set.load(Ordering::Relaxed) & bit != 0 && set.fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }
}

//! `sched=null`: each vCPU that is switched on has a CPU of its own, its *seat*, as long as there are some.
//!
//! A seat is an affinity to one CPU: all else follows. Nobody waits there for another, so there are no slices and nothing
//! to even out, and a wake-up goes straight to the seat. Who finds none is held until one becomes free that it may use.
//! With core scheduling, a core's seats are one domain's.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::affinity::wished;
use super::node::SchedNode;
use super::queue::{CpuQueue, Next};
use super::{Cpus, MEMORY, Schedulable, Scheduler};
use crate::fallible::{self, NoMemory};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sync::atomic::Ordering;
use crate::sync::{Class, Lock};
use crate::time::Nanos;

/// Who sits where, and who stands.
pub(super) struct Seats<V>(Lock<Plan<V>>);

struct Plan<V> {
    /// By CPU.
    sitting: Box<[Option<V>]>,
    /// In the order in which they came. There is room for all.
    standing: Vec<V>,
}

/// What came of a vCPU's wish for a CPU of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// It needs none, or has had one already.
    Needless,
    /// It has this one.
    On(CpuId),
    /// All that it may use are taken: it is held.
    Wanted,
}

impl<V> Seats<V> {
    pub fn new(cpus: usize) -> Result<Self, NoMemory> {
        let sitting = fallible::filled(cpus, || None)?.into_boxed_slice();
        Ok(Self(Lock::new(Class::Seats, Plan { sitting, standing: Vec::new() })))
    }

    pub fn reserve(&self, vcpus: usize) -> Result<(), NoMemory> {
        let mut plan = self.0.lock();
        let more = vcpus.saturating_sub(plan.standing.len());
        fallible::reserve(&mut plan.standing, more)
    }
}

impl<V: Schedulable> Plan<V> {
    fn seat_of(&self, vcpu: &V) -> Option<usize> {
        self.sitting.iter().position(|sits| sits.as_ref() == Some(vcpu))
    }

    fn taken(&self) -> CpuMask {
        let taken = self.sitting.iter().enumerate().filter(|(_, sits)| sits.is_some());
        taken.fold(CpuMask(0), |mask, (cpu, _)| CpuMask(mask.0 | 1 << cpu))
    }
}

impl<C: Cpus, V: Schedulable> Scheduler<C, V> {
    /// A vCPU that has been switched on, and is held still, gets a CPU of its own if the policy is that.
    pub fn give_seat(&self, vcpu: &V) -> Seat {
        let Some(Seats(plan)) = &self.seats else { return Seat::Needless };
        let mut plan = plan.lock();
        if plan.seat_of(vcpu).is_some() || plan.standing.contains(vcpu) {
            return Seat::Needless;
        }
        let seat = self.sit(&mut plan, vcpu);
        if seat == Seat::Wanted {
            self.hold(vcpu);
            plan.standing.push(vcpu.clone());
        }
        seat
    }

    /// A vCPU that is held needs its seat no more: who stands and may use it has it now.
    pub fn take_seat(&self, vcpu: &V) {
        let Some(Seats(plan)) = &self.seats else { return };
        let mut plan = plan.lock();
        if let Some(at) = plan.standing.iter().position(|stands| stands == vcpu) {
            let stood = plan.standing.remove(at);
            drop(plan);
            self.release(&stood);
        } else if let Some(seat) = plan.seat_of(vcpu).and_then(|at| plan.sitting.get_mut(at)) {
            let left = seat.take();
            drop(plan);
            drop(left);
            self.seat_standing();
        }
    }

    /// Gives seats that have become free to those who stand and may use them, in the order in which they came.
    pub(super) fn seat_standing(&self) {
        let Some(Seats(plan)) = &self.seats else { return };
        let mut at = 0;
        loop {
            let mut plan = plan.lock();
            let Some(stands) = plan.standing.get(at).cloned() else { return };
            if self.sit(&mut plan, &stands) == Seat::Wanted {
                at += 1;
                continue;
            }
            plan.standing.remove(at);
            drop(plan);
            self.release(&stands);
        }
    }

    /// What a vCPU may use has changed: it needs another seat if it may not have this one any more, and may find one if it
    /// has none.
    pub(super) fn change_seats(&self, vcpu: &V) {
        let Some(Seats(plan)) = &self.seats else { return };
        let usable = CpuMask(vcpu.node().affinity().0 & self.pool_cpus(vcpu.pool()).0);
        let stays = {
            let plan = plan.lock();
            let sits = plan.seat_of(vcpu);
            sits.is_none() && !plan.standing.contains(vcpu)
                || sits.is_some_and(|cpu| usable.contains(CpuId(cpu as u32)))
        };
        if !stays {
            // Held meanwhile: it may run nowhere.
            self.hold(vcpu);
            self.take_seat(vcpu);
            self.give_seat(vcpu);
            self.release(vcpu);
        }
    }

    /// Gives a vCPU one of the free seats.
    fn sit(&self, plan: &mut Plan<V>, vcpu: &V) -> Seat {
        let (node, taken) = (vcpu.node(), plan.taken());
        let mut free = CpuMask(node.affinity().0 & self.pool_cpus(vcpu.pool()).0 & !taken.0);
        if self.cores.is_some() {
            let is_foreign = |sits: &Option<V>| {
                sits.as_ref().is_some_and(|sits| sits.domain_number() != vcpu.domain_number())
            };
            let foreign = plan.sitting.iter().enumerate().filter(|(_, sits)| is_foreign(sits));
            let shut = foreign.fold(0, |shut, (cpu, _)| shut | self.topology.core(CpuId(cpu as u32)).0);
            free = CpuMask(free.0 & !shut);
        }
        let best = self.topology.best(node.home(), wished(vcpu, free), taken);
        let Some((cpu, sits)) = best.and_then(|cpu| Some((cpu, plan.sitting.get_mut(cpu.index())?))) else {
            node.set_bounds(node.affinity());
            return Seat::Wanted;
        };
        *sits = Some(vcpu.clone());
        node.set_bounds(CpuMask(1 << cpu.index()));
        self.move_if_needed(vcpu);
        Seat::On(cpu)
    }

    /// [`pick`](Self::pick) for a CPU that is a seat: nobody else waits here, and there is nothing to take from others.
    pub(super) fn pick_sitting(&self, this: CpuId, cpu: &CpuQueue<V>) -> Option<V> {
        let now = self.machine.now();
        let may_run = |vcpu: &V, node: &SchedNode| self.allowed_by(vcpu, node).contains(this);
        loop {
            match cpu.with(|queue| queue.start(this, now, |_| true, may_run)) {
                Some(Next::Stray { vcpu, lag }) => self.enqueue(vcpu, lag, MEMORY, now),
                Some(Next::Runs { vcpu, limit, .. }) => {
                    cpu.slice_end.store(limit.0, Ordering::Relaxed);
                    return Some(vcpu);
                }
                None => {
                    self.arm(cpu, Nanos::NEVER, now);
                    return None;
                }
            }
        }
    }
}

//! One CPU's queue.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::node::State;
use crate::domain::VcpuRef;
use crate::fallible::{self, NoMemory};
use crate::machine::Machine;
use crate::sync::{Lock, LockGuard};
use crate::time::Nanos;

/// A CPU's queue with what others look at without its lock.
pub(super) struct CpuQueue<M: Machine> {
    lock: Lock<Queue<M>>,
    /// The number of queued vCPUs, as of the last time the lock was dropped.
    ready: AtomicUsize,
    /// vCPUs that have their home here.
    pub homes: AtomicU32,
    /// Time that it ran vCPUs, in ns, without the one that it runs now.
    pub busy: AtomicU64,
    /// The CPU runs nothing.
    pub idle: AtomicBool,
    /// The CPU should pick again.
    pub resched: AtomicBool,
}

/// The vCPUs that wait for this CPU, and those that wait for a time.
pub(super) struct Queue<M: Machine> {
    ready: Vec<VcpuRef<M>>,
    /// Sorted, the earliest last.
    timers: Vec<(Nanos, VcpuRef<M>)>,
    min_vtime: u64,
}

impl<M: Machine> Default for CpuQueue<M> {
    fn default() -> Self {
        Self {
            lock: Lock::new(Queue { ready: Vec::new(), timers: Vec::new(), min_vtime: 0 }),
            ready: AtomicUsize::new(0),
            homes: AtomicU32::new(0),
            busy: AtomicU64::new(0),
            idle: AtomicBool::new(false),
            resched: AtomicBool::new(false),
        }
    }
}

/// The locked queue; publishes the number of queued vCPUs when it is used.
pub(super) struct Locked<'a, M: Machine> {
    cpu: &'a CpuQueue<M>,
    queue: LockGuard<'a, Queue<M>>,
}

impl<M: Machine> Locked<'_, M> {
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Queue<M>) -> R) -> R {
        let result = f(&mut self.queue);
        self.cpu.ready.store(self.queue.ready.len(), Ordering::Relaxed);
        result
    }
}

impl<M: Machine> CpuQueue<M> {
    /// Whether vCPUs are queued.
    pub fn is_waited_for(&self) -> bool {
        self.ready.load(Ordering::Relaxed) != 0
    }

    pub fn lock(&self) -> Locked<'_, M> {
        Locked { cpu: self, queue: self.lock.lock() }
    }

    pub fn with<R>(&self, f: impl FnOnce(&mut Queue<M>) -> R) -> R {
        self.lock().with(f)
    }

    pub fn try_with<R>(&self, f: impl FnOnce(&mut Queue<M>) -> R) -> Option<R> {
        let queue = self.lock.try_lock()?;
        Some(Locked { cpu: self, queue }.with(f))
    }
}

impl<M: Machine> Queue<M> {
    pub fn reserve(&mut self, vcpus: usize) -> Result<(), NoMemory> {
        let ready = vcpus.saturating_sub(self.ready.len());
        let timers = vcpus.saturating_sub(self.timers.len());
        fallible::reserve(&mut self.ready, ready)?;
        fallible::reserve(&mut self.timers, timers)
    }

    pub fn min_vtime(&self) -> u64 {
        self.min_vtime
    }

    pub fn push(&mut self, vcpu: VcpuRef<M>) {
        self.ready.push(vcpu);
    }

    /// Takes the vCPU with the least virtual time that `allowed` lets go; parks those that are held.
    pub fn take_least(&mut self, now: Nanos, allowed: impl Fn(&VcpuRef<M>) -> bool) -> Option<VcpuRef<M>> {
        self.ready.retain(|vcpu| {
            let held = vcpu.sched.is_held();
            if held {
                vcpu.sched.set_state(State::Parked, now);
            }
            !held
        });
        let candidates = self.ready.iter().enumerate().filter(|(_, vcpu)| allowed(vcpu));
        let (index, _) = candidates.min_by_key(|(_, vcpu)| vcpu.sched.vtime())?;
        let vcpu = self.ready.swap_remove(index);
        self.min_vtime = self.min_vtime.max(vcpu.sched.vtime());
        Some(vcpu)
    }

    pub fn first_timer(&self) -> Nanos {
        self.timers.last().map_or(Nanos::NEVER, |(deadline, _)| *deadline)
    }

    pub fn add_timer(&mut self, deadline: Nanos, vcpu: VcpuRef<M>) {
        let at = self.timers.partition_point(|(other, _)| *other > deadline);
        self.timers.insert(at, (deadline, vcpu));
    }

    pub fn remove_timer(&mut self, vcpu: &VcpuRef<M>) {
        if let Some(at) = self.timers.iter().position(|(_, other)| other.same(vcpu)) {
            self.timers.remove(at);
        }
    }

    /// Takes a vCPU out; false if it does not wait here.
    pub fn take_ready(&mut self, vcpu: &VcpuRef<M>) -> bool {
        let at = self.ready.iter().position(|other| other.same(vcpu));
        at.map(|at| self.ready.swap_remove(at)).is_some()
    }

    /// Drops every reference to the vCPU.
    pub fn remove(&mut self, vcpu: &VcpuRef<M>) {
        self.remove_timer(vcpu);
        self.ready.retain(|other| !other.same(vcpu));
    }

    pub fn take_due(&mut self, now: Nanos) -> Option<VcpuRef<M>> {
        if self.first_timer() <= now { self.timers.pop().map(|(_, vcpu)| vcpu) } else { None }
    }
}

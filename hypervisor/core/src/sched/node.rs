//! What the scheduler keeps about one vCPU.

use super::Schedulable;
use super::budget::{Budget, Use};
use super::clock::{Vtime, slice};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Class, Lock};
use crate::time::Nanos;

/// The weight of a vCPU that nobody gave another.
pub const DEFAULT_WEIGHT: u32 = 256;

/// Where a vCPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Blocked or held.
    Parked,
    /// Waits for a CPU.
    Queued,
    /// Would, but its domain has used up its budget for this period.
    Capped,
    /// Runs on this one.
    Running(CpuId),
}

const PARKED: u32 = u32::MAX;
const QUEUED: u32 = u32::MAX - 1;
const CAPPED: u32 = u32::MAX - 2;

/// Time spent in each state, in nanoseconds: running, runnable, blocked, offline (`RUNSTATE_*`, `public/vcpu.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTimes {
    /// The state now: an index into `spent`.
    pub state: usize,
    /// When it began.
    pub since: Nanos,
    /// Time in each state before that.
    pub spent: [u64; 4],
}

/// The scheduler's part of a vCPU.
#[derive(Debug)]
pub struct SchedNode {
    state: AtomicU32,
    home: AtomicU32,
    holds: AtomicU32,
    blocked: AtomicBool,
    yields: AtomicBool,
    soft_affinity: AtomicU64,
    /// The rest is written under the home queue's lock only.
    vtime: AtomicU64,
    /// When, in virtual time, it should have had its next slice.
    deadline: AtomicU64,
    /// What it is in the home queue's timers for.
    timer: AtomicU64,
    weight: AtomicU32,
    affinity: AtomicU64,
    /// Where it is confined to: its affinity, or with `sched=null` the CPU that it has to itself.
    bounds: AtomicU64,
    times: Lock<RunTimes>,
    budget_use: Lock<Use>,
}

/// Changes where a vCPU is, whose node is at hand, under its home queue's lock.
#[inline]
pub(super) fn set_state<V: Schedulable>(vcpu: &V, node: &SchedNode, state: State, now: Nanos) {
    let (from, to) = node.set_state(state, now);
    vcpu.state_changed(from, to);
}

impl SchedNode {
    /// A parked vCPU that one reason holds: it has not been started.
    pub fn new(now: Nanos) -> Self {
        let times = RunTimes { state: RunTimes::OFFLINE, since: now, spent: [0; 4] };
        Self {
            state: AtomicU32::new(PARKED),
            home: AtomicU32::new(0),
            holds: AtomicU32::new(1),
            blocked: AtomicBool::new(false),
            yields: AtomicBool::new(false),
            soft_affinity: AtomicU64::new(u64::MAX),
            vtime: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
            timer: AtomicU64::new(Nanos::NEVER.0),
            weight: AtomicU32::new(DEFAULT_WEIGHT),
            affinity: AtomicU64::new(u64::MAX),
            bounds: AtomicU64::new(u64::MAX),
            times: Lock::new(Class::RunTimes, times),
            budget_use: Lock::new(Class::RunTimes, Use::default()),
        }
    }

    /// Where the vCPU is. May be old news unless the home queue is locked.
    #[inline]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::SeqCst) {
            PARKED => State::Parked,
            QUEUED => State::Queued,
            CAPPED => State::Capped,
            cpu => State::Running(CpuId(cpu)),
        }
    }

    /// Returns the states before and after as indices of [`RunTimes`].
    fn set_state(&self, state: State, now: Nanos) -> (usize, usize) {
        let (word, times_state) = match state {
            State::Parked if self.is_blocked() => (PARKED, RunTimes::BLOCKED),
            State::Parked => (PARKED, RunTimes::OFFLINE),
            State::Queued => (QUEUED, RunTimes::RUNNABLE),
            State::Capped => (CAPPED, RunTimes::RUNNABLE),
            State::Running(cpu) => (cpu.0, RunTimes::RUNNING),
        };
        let before = self.times.lock().enter(times_state, now);
        self.state.store(word, Ordering::SeqCst);
        (before, times_state)
    }

    /// The CPU whose queue it belongs to.
    pub fn home(&self) -> CpuId {
        CpuId(self.home.load(Ordering::Acquire))
    }

    pub(super) fn set_home(&self, cpu: CpuId) {
        self.home.store(cpu.0, Ordering::Release);
    }

    /// The CPUs that it may run on.
    pub fn affinity(&self) -> CpuMask {
        CpuMask(self.affinity.load(Ordering::Relaxed))
    }

    pub(super) fn set_affinity(&self, cpus: CpuMask) {
        self.affinity.store(cpus.0, Ordering::Relaxed);
    }

    pub(super) fn bounds(&self) -> CpuMask {
        CpuMask(self.bounds.load(Ordering::Relaxed))
    }

    pub(super) fn set_bounds(&self, cpus: CpuMask) {
        self.bounds.store(cpus.0, Ordering::Relaxed);
    }

    /// The CPUs that it had better run on.
    #[inline]
    pub fn soft_affinity(&self) -> CpuMask {
        CpuMask(self.soft_affinity.load(Ordering::Relaxed))
    }

    pub(super) fn set_soft_affinity(&self, cpus: CpuMask) {
        self.soft_affinity.store(cpus.0, Ordering::Relaxed);
    }

    /// Its share of the CPUs, in relation to the others'.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
    }

    /// Whether anybody holds it.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) != 0
    }

    pub(super) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes back a hold; true if it was the last.
    pub(super) fn release(&self) -> bool {
        let before = self.holds.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "released more often than held");
        before == 1
    }

    /// Whether it waits for an event.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    /// The running vCPU says that it has nothing to do until an event comes.
    pub fn block(&self) {
        self.blocked.store(true, Ordering::Release);
    }

    /// It has something to do after all.
    pub fn unblock(&self) {
        self.blocked.store(false, Ordering::Release);
    }

    pub(super) fn yield_now(&self) {
        self.yields.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_yield(&self) -> bool {
        self.yields.load(Ordering::Relaxed) && self.yields.swap(false, Ordering::Relaxed)
    }

    /// How long it was in each state, up to now.
    pub fn times(&self, now: Nanos) -> RunTimes {
        let mut times = *self.times.lock();
        times.enter(times.state, now);
        times
    }

    /// The same with the time in the present state not added yet: what the guest's runstate area shows.
    pub fn raw_times(&self) -> RunTimes {
        *self.times.lock()
    }

    pub(super) fn vtime(&self) -> Vtime {
        Vtime(self.vtime.load(Ordering::Relaxed))
    }

    pub(super) fn deadline(&self) -> Vtime {
        Vtime(self.deadline.load(Ordering::Relaxed))
    }

    /// Moves it in virtual time. Once it has had the slice that it waited for, or is moved far back, the next one is due
    /// a slice later.
    pub(super) fn set_vtime(&self, vtime: Vtime) {
        self.vtime.store(vtime.0, Ordering::Relaxed);
        let slice = slice(self.weight().into());
        if !(1..=slice).contains(&self.deadline().ahead_of(vtime)) {
            self.deadline.store(vtime.plus(slice).0, Ordering::Relaxed);
        }
    }

    /// Until when it may run if it begins now; an error says when to ask again.
    #[inline]
    pub(super) fn runs_until(&self, budget: &Budget, now: Nanos) -> Result<Nanos, Nanos> {
        if budget.cap() == 0 { Ok(Nanos::NEVER) } else { budget.runs_until(now, *self.budget_use.lock()) }
    }

    /// Takes time that it ran from its domain's budget.
    #[inline]
    pub(super) fn charge(&self, budget: &Budget, now: Nanos, ran: u64) {
        if budget.cap() != 0 {
            budget.charge(now, ran, &mut self.budget_use.lock());
        }
    }

    pub(super) fn timer(&self) -> Nanos {
        Nanos(self.timer.load(Ordering::Relaxed))
    }

    pub(super) fn set_timer(&self, deadline: Nanos) {
        self.timer.store(deadline.0, Ordering::Relaxed);
    }
}

impl RunTimes {
    /// Index of the time spent running.
    pub const RUNNING: usize = 0;
    /// Index of the time spent waiting for a CPU.
    pub const RUNNABLE: usize = 1;
    /// Index of the time spent waiting for an event.
    pub const BLOCKED: usize = 2;
    /// Index of the time spent held.
    pub const OFFLINE: usize = 3;

    /// Returns the state before. Who read the clock and then waited for the queue's lock comes with a time before the
    /// latest change: nothing is counted twice for that.
    fn enter(&mut self, state: usize, now: Nanos) -> usize {
        let now = now.max(self.since);
        if let Some(spent) = self.spent.get_mut(self.state) {
            *spent += now.since(self.since);
        }
        self.since = now;
        core::mem::replace(&mut self.state, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_whoever_comes_late() {
        let mut times = RunTimes { state: RunTimes::BLOCKED, since: Nanos(100), spent: [0; 4] };
        times.enter(RunTimes::RUNNING, Nanos(150));
        times.enter(RunTimes::BLOCKED, Nanos(300));
        // Its waker read the clock before it blocked.
        times.enter(RunTimes::RUNNABLE, Nanos(290));
        times.enter(RunTimes::RUNNING, Nanos(400));
        assert_eq!((times.since, times.spent.iter().sum::<u64>()), (Nanos(400), 300));
    }
}

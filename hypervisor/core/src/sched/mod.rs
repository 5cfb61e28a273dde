//! Who runs where.
//!
//! One queue per CPU. A vCPU is *running* on a CPU, *queued* on one, or *parked*; it has a home CPU, whose queue lock
//! protects the change of its state. Among the queued, the one with the least virtual time (time run, divided by
//! weight) goes first; one that wakes starts no further back than the others, so sleeping earns no hoard of time.
//! A CPU with nothing to do takes from the others.
//!
//! A vCPU does not run while anybody *holds* it (paused, not started, its domain dying), nor while it is *blocked*
//! and nothing is there to wake it.
//!
//! # Lost wake-ups
//! A waker first makes its event visible (a request bit, a posted vector), then calls [`Scheduler::wake`], which looks
//! at the state. The owner, to park, first stores *parked*, then looks for events once more. With a full fence on both
//! sides, one of them sees the other.
//!
//! # Locks
//! A queue's lock is a leaf but for [`SchedNode`]'s times; a thief only *tries* another CPU's.

mod node;
mod queue;

use alloc::boxed::Box;
use core::sync::atomic::{Ordering, fence};

pub use node::{DEFAULT_WEIGHT, RunTimes, SchedNode, State};
use queue::{CpuQueue, Queue};

use crate::domain::{Requests, VcpuRef};
use crate::fallible::{self, NoMemory};
use crate::ids::CpuId;
use crate::machine::{CpuMask, Machine};
use crate::time::Nanos;

/// How long a vCPU runs while another waits for the same CPU.
const SLICE: u64 = SLICE_MS as u64 * Nanos::MILLISECOND;
/// The same in milliseconds, for the tools.
pub const SLICE_MS: u32 = 5;

/// A CPU that is waited for is interrupted again after so many turns. One interrupt is enough for hardware; emulators
/// have been seen to lose one.
pub(crate) const KICK_AGAIN: u32 = 1 << 20;

/// The run queues.
pub struct Scheduler<M: Machine> {
    machine: M,
    cpus: Box<[CpuQueue<M>]>,
    /// The CPUs that run vCPUs: at least one.
    pool: CpuMask,
}

impl<M: Machine> Scheduler<M> {
    /// Queues for every CPU of the machine; those of `pool` run vCPUs.
    ///
    /// # Errors
    /// No memory.
    pub fn new(machine: M, pool: CpuMask) -> Result<Self, NoMemory> {
        let cpus = fallible::filled(machine.cpus() as usize, CpuQueue::default)?;
        Ok(Self { machine, cpus: cpus.into_boxed_slice(), pool })
    }

    /// The CPUs that run vCPUs.
    pub fn pool(&self) -> CpuMask {
        self.pool
    }

    /// The queue of this CPU.
    #[inline]
    fn this(&self) -> Option<&CpuQueue<M>> {
        self.cpus.get(self.machine.this_cpu().index())
    }

    /// Interrupts a CPU, unless it is this one.
    fn kick_other(&self, cpu: CpuId) {
        if cpu != self.machine.this_cpu() {
            self.machine.kick(cpu);
        }
    }

    /// Where a vCPU may run: what its affinity leaves of the pool.
    fn allowed(&self, vcpu: &VcpuRef<M>) -> CpuMask {
        CpuMask(vcpu.sched.affinity().0 & self.pool.0)
    }

    /// Makes room for that many vCPUs on every queue, so that queueing never allocates.
    ///
    /// # Errors
    /// No memory.
    pub fn reserve(&self, vcpus: usize) -> Result<(), NoMemory> {
        self.cpus.iter().try_for_each(|cpu| cpu.with(|queue| queue.reserve(vcpus)))
    }

    /// Gives a new vCPU a home: the CPU with the fewest.
    pub fn place(&self, vcpu: &VcpuRef<M>) {
        let allowed = self.allowed(vcpu);
        let cpus = self.cpus.iter().enumerate().filter(|(i, _)| allowed.contains(CpuId(*i as u32)));
        if let Some((home, cpu)) = cpus.min_by_key(|(_, cpu)| cpu.homes.load(Ordering::Relaxed)) {
            cpu.homes.fetch_add(1, Ordering::Relaxed);
            vcpu.sched.set_home(CpuId(home as u32));
        }
    }

    /// The counterpart of [`place`](Self::place), for a vCPU that is held for good.
    pub fn forget(&self, vcpu: &VcpuRef<M>) {
        self.with_home(vcpu, |queue| queue.remove(vcpu));
        if let Some(cpu) = self.cpus.get(vcpu.sched.home().index()) {
            cpu.homes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes a vCPU look at its events: the caller has just made one visible.
    ///
    /// If it runs elsewhere it is interrupted; if it is parked and nobody holds it, it is queued.
    pub fn wake(&self, vcpu: &VcpuRef<M>) {
        fence(Ordering::SeqCst);
        if let State::Running(cpu) = vcpu.sched.state() {
            return self.kick_other(cpu);
        }
        let runs_on = self.with_home(vcpu, |queue| match vcpu.sched.state() {
            State::Running(cpu) => Err(cpu),
            State::Parked if !vcpu.sched.is_held() => {
                queue.remove_timer(vcpu);
                vcpu.sched.unblock();
                vcpu.sched.set_state(State::Queued, self.machine.now());
                vcpu.sched.catch_up(queue.min_vtime(), SLICE);
                Ok(true)
            }
            State::Parked | State::Queued => Ok(false),
        });
        match runs_on {
            Err(cpu) => self.machine.kick(cpu),
            Ok(true) => self.enqueue(vcpu.clone()),
            Ok(false) => {}
        }
    }

    /// Posts a request to a vCPU and makes it look.
    pub fn signal(&self, vcpu: &VcpuRef<M>, what: Requests) {
        vcpu.request(what);
        self.wake(vcpu);
    }

    /// Adds a reason not to run. On return the vCPU may still be running: see
    /// [`wait_stopped`](Self::wait_stopped).
    pub fn hold(&self, vcpu: &VcpuRef<M>) {
        vcpu.sched.hold();
        fence(Ordering::SeqCst);
        if let State::Running(cpu) = vcpu.sched.state() {
            self.kick_other(cpu);
        }
    }

    /// Waits until a held vCPU is not running. Not for the vCPU's own CPU, and with no lock held that it may want.
    pub fn wait_stopped(&self, vcpu: &VcpuRef<M>) {
        let mut spins = 0_u32;
        while let State::Running(cpu) = vcpu.sched.state() {
            if cpu == self.machine.this_cpu() {
                return;
            }
            core::hint::spin_loop();
            spins += 1;
            if spins.is_multiple_of(KICK_AGAIN) {
                self.machine.kick(cpu);
            }
        }
    }

    /// Takes back one [`hold`](Self::hold); with the last, the vCPU runs on unless it is blocked.
    pub fn release(&self, vcpu: &VcpuRef<M>) {
        if vcpu.sched.release() && (!vcpu.sched.is_blocked() || vcpu.has_work()) {
            self.wake(vcpu);
        }
    }

    /// Confines a vCPU to some CPUs, of which the pool must have one. Where it runs or waits on another, it moves at the next opportunity.
    pub fn set_affinity(&self, vcpu: &VcpuRef<M>, cpus: CpuMask) {
        vcpu.sched.set_affinity(cpus);
        if let State::Running(cpu) = vcpu.sched.state()
            && !cpus.contains(cpu)
            && let Some(queue) = self.cpus.get(cpu.index())
        {
            queue.resched.store(true, Ordering::SeqCst);
            self.kick_other(cpu);
        }
        let waits_elsewhere = self.with_home(vcpu, |queue| {
            !cpus.contains(vcpu.sched.home()) && vcpu.sched.state() == State::Queued && queue.take_ready(vcpu)
        });
        if waits_elsewhere {
            self.enqueue(vcpu.clone());
        }
    }

    /// How long a CPU has run no vCPU, in ns since boot.
    pub fn idle_time(&self, cpu: CpuId) -> u64 {
        let busy = self.cpus.get(cpu.index()).map_or(0, |cpu| cpu.busy.load(Ordering::Relaxed));
        self.machine.now().0.saturating_sub(busy)
    }

    /// The next vCPU for this CPU, which becomes *running*; `None` if there is nothing to do.
    pub fn pick(&self) -> Option<VcpuRef<M>> {
        let this = self.machine.this_cpu();
        let cpu = self.cpus.get(this.index())?;
        cpu.resched.store(false, Ordering::SeqCst);
        let now = self.machine.now();
        let mine = cpu.with(|queue| queue.take_least(now, |_| true));
        let next = mine.or_else(|| if self.pool.contains(this) { self.steal(this, now) } else { None });
        cpu.idle.store(next.is_none() && self.pool.contains(this), Ordering::SeqCst);
        match &next {
            Some(next) => {
                self.move_home(next, this);
                next.sched.set_state(State::Running(this), now);
            }
            None => {
                // Somebody who saw this CPU busy may have queued something just now.
                fence(Ordering::SeqCst);
                if self.pool.contains(this) && self.cpus.iter().any(CpuQueue::is_waited_for) {
                    cpu.resched.store(true, Ordering::Relaxed);
                }
                self.arm(cpu, Nanos::NEVER);
            }
        }
        next
    }

    /// Puts a vCPU that ran on this CPU back: queued, or parked until `deadline` or an event.
    pub fn put(&self, vcpu: VcpuRef<M>, deadline: Nanos) {
        let this = self.machine.this_cpu();
        let Some(cpu) = self.cpus.get(this.index()) else { return };
        let now = self.machine.now();
        cpu.busy.fetch_add(now.since(vcpu.sched.since()), Ordering::Relaxed);
        let moves = cpu.with(|queue| {
            vcpu.sched.charge(now);
            if vcpu.sched.is_held() || vcpu.sched.is_blocked() {
                vcpu.sched.set_state(State::Parked, now);
                fence(Ordering::SeqCst);
                // Held, it waits for `release`; if that came before this CPU said *parked*, it found it running.
                if vcpu.sched.is_held() || vcpu.sched.is_blocked() && !vcpu.has_work() {
                    if deadline != Nanos::NEVER {
                        queue.add_timer(deadline, vcpu);
                    }
                    return None;
                }
                vcpu.sched.unblock();
            }
            vcpu.sched.set_state(State::Queued, now);
            if !self.allowed(&vcpu).contains(this) {
                return Some(vcpu);
            }
            queue.push(vcpu);
            None
        });
        if let Some(vcpu) = moves {
            self.enqueue(vcpu);
        }
    }

    /// Whether this CPU should stop what it runs and [`pick`](Self::pick) again.
    #[inline]
    pub fn should_reschedule(&self) -> bool {
        self.this().is_some_and(|cpu| cpu.resched.load(Ordering::Relaxed))
    }

    /// The running vCPU lets others go first, once.
    #[inline]
    pub fn yield_now(&self) {
        if let Some(cpu) = self.this().filter(|cpu| cpu.is_waited_for()) {
            cpu.resched.store(true, Ordering::Relaxed);
        }
    }

    /// Sets this CPU's timer for the vCPU that it runs.
    pub fn arm_for(&self, vcpu: &VcpuRef<M>, deadline: Nanos) {
        let Some(cpu) = self.this() else { return };
        let slice_end = if cpu.is_waited_for() { vcpu.sched.since() + SLICE } else { Nanos::NEVER };
        self.arm(cpu, deadline.min(slice_end));
    }

    /// This CPU's timer went off: wakes the vCPUs that are due and ends the slice that is over.
    pub fn timer(&self) {
        let Some(cpu) = self.this() else { return };
        while let Some(vcpu) = cpu.with(|queue| queue.take_due(self.machine.now())) {
            self.signal(&vcpu, Requests::TIMER);
        }
        self.yield_now();
    }

    fn arm(&self, cpu: &CpuQueue<M>, deadline: Nanos) {
        let deadline = cpu.with(|queue| queue.first_timer()).min(deadline);
        if deadline != Nanos::NEVER {
            self.machine.arm_timer(deadline);
        }
    }

    /// Queues a vCPU that is in state *queued* and on no queue, where it runs soonest, and tells that CPU.
    fn enqueue(&self, vcpu: VcpuRef<M>) {
        let home = vcpu.sched.home();
        let allowed = self.allowed(&vcpu);
        let is_idle =
            |cpu: CpuId| self.cpus.get(cpu.index()).is_some_and(|cpu| cpu.idle.load(Ordering::SeqCst));
        let mut cpus = (0..self.cpus.len() as u32).map(CpuId).filter(|cpu| allowed.contains(*cpu));
        let stay = if allowed.contains(home) { home } else { cpus.clone().next().unwrap_or(home) };
        let target = if is_idle(stay) { stay } else { cpus.find(|cpu| is_idle(*cpu)).unwrap_or(stay) };
        let Some(cpu) = self.cpus.get(target.index()) else { return };
        self.move_home(&vcpu, target);
        cpu.with(|queue| queue.push(vcpu));
        cpu.resched.store(true, Ordering::SeqCst);
        self.kick_other(target);
    }

    fn steal(&self, thief: CpuId, now: Nanos) -> Option<VcpuRef<M>> {
        let others = self.cpus.iter().enumerate().filter(|(i, _)| *i != thief.index());
        let mut loaded = others.filter(|(_, cpu)| cpu.is_waited_for());
        loaded.find_map(|(_, cpu)| {
            cpu.try_with(|q| q.take_least(now, |v| v.sched.affinity().contains(thief)))?
        })
    }

    /// Changes the home of a vCPU that is on no queue and not parked, so that nobody else may.
    fn move_home(&self, vcpu: &VcpuRef<M>, to: CpuId) {
        let from = vcpu.sched.home();
        if from != to {
            if let (Some(from), Some(to)) = (self.cpus.get(from.index()), self.cpus.get(to.index())) {
                from.homes.fetch_sub(1, Ordering::Relaxed);
                to.homes.fetch_add(1, Ordering::Relaxed);
            }
            vcpu.sched.set_home(to);
        }
    }

    /// Runs `f` under the lock of the vCPU's home queue; the home may move until the lock is had.
    fn with_home<R>(&self, vcpu: &VcpuRef<M>, f: impl FnOnce(&mut Queue<M>) -> R) -> R {
        loop {
            let home = vcpu.sched.home();
            let cpu = self.cpus.get(home.index()).unwrap_or(&self.cpus[0]);
            let mut queue = cpu.lock();
            if vcpu.sched.home() == home {
                return queue.with(f);
            }
        }
    }
}

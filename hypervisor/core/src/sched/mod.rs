//! Who runs where.
//!
//! Every vCPU gets a share of the CPUs in proportion to its weight; what one cannot use goes to the others. Each CPU has
//! a queue and shares its time out exactly (`queue`); the CPUs even out among themselves what each queue's vCPUs
//! have had (`balance`). A domain's cap limits all that ([`Budget`]).
//!
//! A vCPU is *running* on a CPU, *queued* on one, *parked*, or *capped*; it has a home CPU, whose queue lock protects
//! the change of its state. It does not run while anybody *holds* it (paused, not started, its domain dying), nor while
//! it is *blocked* and nothing is there to wake it.
//!
//! What the scheduler needs of the machine and of a vCPU are the traits [`Cpus`] and [`Schedulable`], so that tests run
//! it against machines that are not there.
//!
//! # Lost wake-ups
//! A waker first makes its event visible (a request bit, a posted vector), then calls [`Scheduler::wake`], which looks
//! at the state. The owner, to park, first stores *parked*, then looks for events once more. With a full fence on both
//! sides, one of them sees the other.
//!
//! # Locks
//! A queue's lock is a leaf but for [`SchedNode`]'s times and [`Budget`]'s account; two queues are never locked at once.

mod affinity;
mod balance;
mod budget;
mod clock;
mod core_gran;
#[cfg(all(test, loom))]
#[path = "tests/loom.rs"]
mod loom_tests;
mod node;
mod null;
mod policy;
mod pools;
mod queue;
#[cfg(all(test, not(loom)))]
mod tests;
mod topology;

use alloc::boxed::Box;

use affinity::wished;
pub use budget::Budget;
use core_gran::Cores;
use node::set_state;
pub use node::{DEFAULT_WEIGHT, RunTimes, SchedNode, State};
pub use null::Seat;
use null::Seats;
pub use policy::{Granularity, Policy, Sharing};
pub use pools::MAX_POOLS;
use queue::{CpuQueue, Next, Queue, Ready};
use topology::Topology;

use crate::fallible::{self, NoMemory};
use crate::ids::{CpuId, PoolId};
use crate::machine::{CpuMask, CpuPlace};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::spin_loop;
use crate::time::Nanos;

/// How long a vCPU runs while another waits that could run there; also, how often such CPUs compare their queues.
const SLICE: u64 = SLICE_MS as u64 * Nanos::MILLISECOND;
/// The same in milliseconds, for the tools.
pub const SLICE_MS: u32 = 2;
/// Nobody is interrupted for being ahead of somebody else by less.
const GRANULARITY: u64 = Nanos::MILLISECOND / 4;
/// Sleep earns one slice.
const SLEEPERS_CREDIT: i64 = 1;
/// What is further apart than so many slices is not evened out any more.
const MEMORY: i64 = 32;
/// Nobody is taken from a CPU that it wishes for who is fewer slices behind, unless a CPU idles.
const RELUCTANCE: i64 = 2;
/// Nobody makes up for more slices than that at a stretch.
const LONGEST_TURN: i64 = 512;
/// What a vCPU runs beyond that without being looked at (for days, if nobody else wants its CPU) moves no clock: the
/// arithmetic stays within its 64 bits, and nobody is owed so much anyway.
const LONGEST_RUN: u64 = 1 << 36;

/// A CPU that is waited for is interrupted again after so many turns. One interrupt is enough for hardware; emulators
/// have been seen to lose one.
pub(crate) const KICK_AGAIN: u32 = 1 << 20;

/// The CPUs, as the scheduler needs them.
pub trait Cpus: Copy {
    /// The number of CPUs, numbered from 0. At most [`MAX_CPUS`](crate::machine::MAX_CPUS).
    fn cpus(self) -> u32;

    /// The CPU that asks.
    fn this_cpu(self) -> CpuId;

    /// Where a CPU is. Unless the machine knows better, each is a core of its own, and all share a cache.
    fn place(self, cpu: CpuId) -> CpuPlace {
        CpuPlace { core: cpu.0, ..CpuPlace::default() }
    }

    /// Makes a CPU look at its work: it leaves the guest, or stops idling. Sent after the work is visible.
    fn kick(self, cpu: CpuId);

    /// Since boot; never goes back, and all CPUs agree.
    fn now(self) -> Nanos;

    /// Makes this CPU look at its timers at `deadline`, or earlier.
    fn arm_timer(self, deadline: Nanos);
}

/// A vCPU, as the scheduler needs it. Two are equal that name the same one.
pub trait Schedulable: Clone + PartialEq {
    /// What the scheduler keeps about it.
    fn node(&self) -> &SchedNode;

    /// A number that its domain's other vCPUs have, too, and nobody else.
    fn domain_number(&self) -> u32;

    /// What it shares with its domain's other vCPUs.
    fn budget(&self) -> &Budget;

    /// The pool of its domain.
    fn pool(&self) -> PoolId;

    /// Whether something waits that it must wake for when it is blocked.
    fn has_work(&self) -> bool;

    /// Its timer has gone off: that is something to wake for.
    fn timer_is_due(&self);

    /// It has gone from one run state to another (indices of [`RunTimes`]). Called under its home queue's lock.
    fn state_changed(&self, _from: usize, _to: usize) {}
}

/// The run queues.
pub struct Scheduler<C, V> {
    machine: C,
    cpus: Box<[CpuQueue<V>]>,
    /// The CPUs of each pool; see [`pools`].
    pools: [AtomicU64; MAX_POOLS],
    /// Those of all pools together.
    in_pools: AtomicU64,
    /// CPUs that run nothing, and that nobody has sent work to.
    idle: AtomicU64,
    /// Those that run the only vCPU that they could, without a timer for the end of its slice.
    quiet: AtomicU64,
    /// Those that have run a vCPU that had better run elsewhere.
    astray: AtomicU64,
    topology: Topology,
    /// Whether the policies that follow are off.
    is_plain: bool,
    seats: Option<Seats<V>>,
    cores: Option<Cores>,
}

impl<C: Cpus, V: Schedulable> Scheduler<C, V> {
    /// Queues for every CPU of the machine; those of `first` are in pool 0, the others in none.
    ///
    /// # Errors
    /// No memory.
    pub fn new(machine: C, first: CpuMask) -> Result<Self, NoMemory> {
        let cpus = fallible::filled(machine.cpus() as usize, CpuQueue::default)?.into_boxed_slice();
        Ok(Self {
            machine,
            cpus,
            pools: core::array::from_fn(|i| AtomicU64::new(if i == 0 { first.0 } else { 0 })),
            in_pools: AtomicU64::new(first.0),
            idle: AtomicU64::new(0),
            quiet: AtomicU64::new(0),
            astray: AtomicU64::new(0),
            topology: Topology::of(machine)?,
            is_plain: true,
            seats: None,
            cores: None,
        })
    }

    /// The queue of this CPU.
    #[inline]
    fn this(&self) -> Option<&CpuQueue<V>> {
        self.cpus.get(self.machine.this_cpu().index())
    }

    /// Interrupts a CPU, unless it is this one.
    fn kick_other(&self, cpu: CpuId) {
        if cpu != self.machine.this_cpu() {
            self.machine.kick(cpu);
        }
    }

    /// Makes a CPU pick again.
    fn reschedule(&self, cpu: CpuId) {
        if let Some(queue) = self.cpus.get(cpu.index()) {
            queue.resched.store(true, Ordering::SeqCst);
            self.kick_other(cpu);
        }
    }

    /// Makes every CPU that runs vCPUs pick again.
    pub fn reschedule_all(&self) {
        CpuMask(self.in_pools.load(Ordering::Relaxed)).iter().for_each(|cpu| self.reschedule(cpu));
    }

    /// Makes room for that many vCPUs on every queue, so that queueing never allocates.
    ///
    /// # Errors
    /// No memory.
    pub fn reserve(&self, vcpus: usize) -> Result<(), NoMemory> {
        self.seats.as_ref().map_or(Ok(()), |seats| seats.reserve(vcpus))?;
        self.cpus.iter().try_for_each(|cpu| cpu.with(|queue| queue.reserve(vcpus)))
    }

    /// Gives a new vCPU a home.
    pub fn place(&self, vcpu: &V) {
        if let Some(home) = self.fewest_homes(wished(vcpu, self.allowed(vcpu)))
            && let Some(cpu) = self.cpus.get(home.index())
        {
            cpu.homes.fetch_add(1, Ordering::Relaxed);
            vcpu.node().set_home(home);
        }
    }

    /// Of these CPUs, the one that is home to the fewest vCPUs.
    fn fewest_homes(&self, cpus: CpuMask) -> Option<CpuId> {
        cpus.iter().min_by_key(|cpu| {
            self.cpus.get(cpu.index()).map_or(u32::MAX, |cpu| cpu.homes.load(Ordering::Relaxed))
        })
    }

    /// The counterpart of [`place`](Self::place), for a vCPU that is held for good.
    pub fn forget(&self, vcpu: &V) {
        self.take_seat(vcpu);
        self.with_home(vcpu, |queue| {
            queue.remove_timer(vcpu, vcpu.node());
            queue.take(vcpu, self.machine.now());
        });
        if let Some(cpu) = self.cpus.get(vcpu.node().home().index()) {
            cpu.homes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes a vCPU look at its events: the caller has just made one visible.
    ///
    /// If it runs elsewhere it is interrupted; if it is parked and nobody holds it, it is queued.
    pub fn wake(&self, vcpu: &V) {
        fence(Ordering::SeqCst);
        // Looked up once: that takes a while.
        let node = vcpu.node();
        if let State::Running(cpu) = node.state() {
            return self.kick_other(cpu);
        }
        let now = self.machine.now();
        let (kick, queue) = self.with_home(vcpu, |queue| match node.state() {
            State::Running(cpu) => (Some(cpu), None),
            State::Parked if !node.is_held() => {
                queue.remove_timer(vcpu, node);
                node.unblock();
                set_state(vcpu, node, State::Queued, now);
                (None, Some(queue.lag(node, now)))
            }
            State::Parked | State::Queued | State::Capped => (None, None),
        });
        if let Some(cpu) = kick {
            self.machine.kick(cpu);
        }
        if let Some(lag) = queue {
            self.enqueue(vcpu.clone(), lag, SLEEPERS_CREDIT, now);
        }
    }

    /// Adds a reason not to run. On return the vCPU may still be running: see
    /// [`wait_stopped`](Self::wait_stopped).
    pub fn hold(&self, vcpu: &V) {
        vcpu.node().hold();
        fence(Ordering::SeqCst);
        if let State::Running(cpu) = vcpu.node().state() {
            self.kick_other(cpu);
        }
    }

    /// Waits until a held vCPU is not running. Not for the vCPU's own CPU, and with no lock held that it may want.
    pub fn wait_stopped(&self, vcpu: &V) {
        let mut spins = 0_u32;
        while let State::Running(cpu) = vcpu.node().state() {
            if cpu == self.machine.this_cpu() {
                return;
            }
            spin_loop();
            spins += 1;
            if spins.is_multiple_of(KICK_AGAIN) {
                self.machine.kick(cpu);
            }
        }
    }

    /// Takes back one [`hold`](Self::hold); with the last, the vCPU runs on unless it is blocked.
    pub fn release(&self, vcpu: &V) {
        if vcpu.node().release() {
            // Whoever makes an event visible looks at the holds afterwards, and leaves the waking to this if it finds one.
            fence(Ordering::SeqCst);
            if !vcpu.node().is_blocked() || vcpu.has_work() {
                self.wake(vcpu);
            }
        }
    }

    /// Confines a vCPU to some CPUs. Where it runs or waits on another, it moves at the next opportunity.
    pub fn set_affinity(&self, vcpu: &V, cpus: CpuMask) {
        let node = vcpu.node();
        node.set_affinity(cpus);
        if self.seats.is_none() {
            node.set_bounds(cpus);
        }
        self.settle(vcpu);
    }

    /// Changes a vCPU's share, from now on.
    pub fn set_weight(&self, vcpu: &V, weight: u32) {
        self.with_home(vcpu, |queue| queue.set_weight(vcpu, weight.max(1), self.machine.now()));
        self.look_again(vcpu);
    }

    /// Makes the CPU that runs a vCPU pick again: something about the vCPU has changed.
    pub fn look_again(&self, vcpu: &V) {
        fence(Ordering::SeqCst);
        if let State::Running(cpu) = vcpu.node().state() {
            self.reschedule(cpu);
        }
    }

    /// How long a CPU has run no vCPU, in ns since boot.
    pub fn idle_time(&self, cpu: CpuId) -> u64 {
        let now = self.machine.now();
        now.0.saturating_sub(self.cpus.get(cpu.index()).map_or(0, |cpu| cpu.busy(now)))
    }

    /// The next vCPU for this CPU, which becomes *running*; `None` if there is nothing to do.
    pub fn pick(&self) -> Option<V> {
        let this = self.machine.this_cpu();
        let cpu = self.cpus.get(this.index())?;
        cpu.resched.store(false, Ordering::SeqCst);
        self.no_longer(&self.quiet, this);
        if !self.is_plain {
            return self.pick_by_policy(this, cpu);
        }
        self.balance(this, cpu);
        let now = self.machine.now();
        let mut next = self.start(this, cpu, now);
        if next.is_none() {
            // Whoever queues something sees that this CPU is idle, or has queued it already and it is found now.
            self.idle.fetch_or(1 << this.index(), Ordering::SeqCst);
            fence(Ordering::SeqCst);
            while next.is_none() && (self.take_any(this, cpu, |_| true) || cpu.is_waited_for()) {
                next = self.start(this, cpu, now);
            }
            if next.is_none() {
                self.call_astray(this);
            }
        }
        match next {
            Some(_) => drop(self.no_longer(&self.idle, this)),
            None => self.arm(cpu, Nanos::NEVER, now),
        }
        next
    }

    #[cold]
    fn pick_by_policy(&self, this: CpuId, cpu: &CpuQueue<V>) -> Option<V> {
        match &self.cores {
            Some(cores) => self.pick_in_core(cores, this, cpu),
            None => self.pick_sitting(this, cpu),
        }
    }

    /// Starts the first of this CPU's queue.
    fn start(&self, this: CpuId, cpu: &CpuQueue<V>, now: Nanos) -> Option<V> {
        loop {
            match cpu.with(|queue| {
                queue.start(this, now, |_| true, |vcpu, node| self.allowed_by(vcpu, node).contains(this))
            })? {
                // Its affinity or its pool has changed while it was on its way here.
                Next::Stray { vcpu, lag } => self.enqueue(vcpu, lag, MEMORY, now),
                Next::Runs { vcpu, slice_end, limit } => {
                    if !vcpu.node().soft_affinity().contains(this) {
                        self.runs_astray(&vcpu, this, self.allowed(&vcpu));
                    }
                    let is_waited_for = self.call_helpers(this, cpu);
                    cpu.slice_end.store(if is_waited_for { slice_end } else { limit }.0, Ordering::Relaxed);
                    return Some(vcpu);
                }
            }
        }
    }

    /// Puts a vCPU that ran on this CPU back: queued, or parked until `deadline` or an event.
    pub fn put(&self, vcpu: V, deadline: Nanos) {
        let this = self.machine.this_cpu();
        let Some(cpu) = self.cpus.get(this.index()) else { return };
        let now = self.machine.now();
        let moves = cpu.with(|queue| {
            let node = vcpu.node();
            let ran = queue.stop(&vcpu, node, now);
            node.charge(vcpu.budget(), now, ran);
            if node.is_held() || node.is_blocked() {
                set_state(&vcpu, node, State::Parked, now);
                fence(Ordering::SeqCst);
                // Held, it waits for `release`; if that came before this CPU said *parked*, it found it running.
                if node.is_held() || node.is_blocked() && !vcpu.has_work() {
                    queue.leave(&vcpu);
                    if deadline != Nanos::NEVER {
                        queue.add_timer(deadline, vcpu);
                    }
                    return None;
                }
                node.unblock();
            }
            set_state(&vcpu, node, State::Queued, now);
            let allowed = self.allowed_by(&vcpu, node);
            if self.stays_on(&vcpu, node, this, allowed) {
                let (vtime, deadline) = (node.vtime(), node.deadline());
                queue.push(Ready { vtime, deadline, allowed, vcpu });
                return None;
            }
            let lag = queue.lag(node, now);
            queue.leave(&vcpu);
            Some((vcpu, lag))
        });
        if let Some((vcpu, lag)) = moves {
            self.enqueue(vcpu, lag, MEMORY, now);
        }
    }

    /// Whether this CPU should stop what it runs and [`pick`](Self::pick) again.
    #[inline]
    pub fn should_reschedule(&self) -> bool {
        self.reschedules().load(Ordering::Relaxed)
    }

    /// The word that says so, for whoever looks at every exit.
    pub fn reschedules(&self) -> &AtomicBool {
        &self.this().unwrap_or(&self.cpus[0]).resched
    }

    /// The running vCPU lets another go first, once.
    #[inline]
    pub fn yield_now(&self, vcpu: &V) {
        if let Some(cpu) = self.this().filter(|cpu| cpu.is_waited_for()) {
            vcpu.node().yield_now();
            cpu.resched.store(true, Ordering::Relaxed);
        }
    }

    /// Sets this CPU's timer for the vCPU that it runs and that has something to do at `deadline`.
    pub fn arm_for_running(&self, deadline: Nanos, now: Nanos) {
        if let Some(cpu) = self.this() {
            self.arm(cpu, deadline.min(cpu.slice_end()), now);
        }
    }

    /// This CPU's timer went off: wakes the vCPUs that are due and ends the slice that is over.
    pub fn timer(&self) {
        let Some(cpu) = self.this() else { return };
        cpu.armed.store(Nanos::NEVER.0, Ordering::Relaxed);
        let now = self.machine.now();
        self.wake_sleepers(cpu, now, now);
        if cpu.slice_end() <= now {
            cpu.resched.store(true, Ordering::Relaxed);
        }
    }

    /// Wakes the vCPUs that wait on a CPU for a time up to `due`.
    fn wake_sleepers(&self, cpu: &CpuQueue<V>, due: Nanos, now: Nanos) {
        while let Some((vcpu, capped)) = cpu.with(|queue| queue.take_due(due, now)) {
            if !capped {
                vcpu.timer_is_due();
            }
            self.wake(&vcpu);
        }
    }

    fn arm(&self, cpu: &CpuQueue<V>, deadline: Nanos, now: Nanos) {
        let deadline = cpu.first_timer().min(deadline);
        // If it goes off earlier it is left alone: when it has, whoever has a deadline sets it again.
        if !(now.0..=deadline.0).contains(&cpu.armed.load(Ordering::Relaxed)) && deadline != Nanos::NEVER {
            cpu.armed.store(deadline.0, Ordering::Relaxed);
            self.machine.arm_timer(deadline);
        }
    }

    /// Queues a vCPU that is in state *queued* and on no queue, where it runs soonest, and tells that CPU. `now` may be a
    /// moment ago.
    fn enqueue(&self, vcpu: V, lag: i64, most: i64, now: Nanos) {
        let node = vcpu.node();
        let (home, soft) = (node.home(), node.soft_affinity());
        let allowed = self.allowed_by(&vcpu, node);
        let idle = self.take_idle(home, allowed, soft);
        let target = idle.unwrap_or_else(|| self.waits_on(&vcpu, soft, home, allowed));
        let Some(cpu) = self.cpus.get(target.index()) else { return };
        if home != target {
            self.with_home(&vcpu, |_| self.move_home(&vcpu, target));
        }
        let domain = self.cores.as_ref().map(|cores| {
            self.keep_in_step(cores, target, cpu);
            vcpu.domain_number()
        });
        let goes_first = cpu.with(|queue| {
            let allowed = self.allowed_by(&vcpu, vcpu.node());
            queue.admit(vcpu, allowed, lag, most, now)
        });
        // Its CPU says that it is quiet, then looks at its queue.
        fence(Ordering::SeqCst);
        if goes_first || idle.is_some() || self.no_longer(&self.quiet, target) {
            self.reschedule(target);
        }
        if idle.is_none()
            && let Some(idle) = self.take_idle(target, allowed, soft)
        {
            self.reschedule(idle);
        }
        if let Some(domain) = domain {
            self.tell_core(domain, target, cpu, goes_first);
        }
    }

    /// Changes the home of a vCPU that is on no queue. Under the lock of its home: who has that, and has found the vCPU
    /// at home, relies on it.
    fn move_home(&self, vcpu: &V, to: CpuId) {
        let from = vcpu.node().home();
        if let (Some(from), Some(to)) = (self.cpus.get(from.index()), self.cpus.get(to.index())) {
            from.homes.fetch_sub(1, Ordering::Relaxed);
            to.homes.fetch_add(1, Ordering::Relaxed);
        }
        vcpu.node().set_home(to);
    }

    /// Runs `f` under the lock of the vCPU's home queue; the home may move until the lock is had.
    fn with_home<R>(&self, vcpu: &V, f: impl FnOnce(&mut Queue<V>) -> R) -> R {
        let node = vcpu.node();
        loop {
            let home = node.home();
            let cpu = self.cpus.get(home.index()).unwrap_or(&self.cpus[0]);
            let mut queue = cpu.lock();
            if node.home() == home {
                return queue.with(f);
            }
        }
    }
}

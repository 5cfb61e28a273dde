//! One CPU's queue.
//!
//! Among those that are owed time, the one whose next slice is due first goes first: short waits for those with much
//! weight, and nobody more than about a slice away from its share.

use alloc::collections::VecDeque;

use super::affinity::goes_gladly;
use super::clock::{Clock, Vtime, real_ns, slice, virtual_ns};
use super::node::{SchedNode, State, set_state};
use super::{GRANULARITY, LONGEST_RUN, LONGEST_TURN, Schedulable};
use crate::fallible::{self, NoMemory};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Class, Lock, LockGuard};
use crate::time::Nanos;

/// A CPU's queue with what others look at without its lock, as of the last time that it was dropped.
pub(super) struct CpuQueue<V> {
    lock: Lock<Queue<V>>,
    /// The number of queued vCPUs.
    ready: AtomicUsize,
    /// CPUs on which some of them may run: sometimes too many, never too few.
    helpers: AtomicU64,
    /// The queue's clock, comparable with the other queues'.
    clock: AtomicU64,
    /// The weight of those that want this CPU.
    weight: AtomicU64,
    /// The first timer.
    timer: AtomicU64,
    /// What the timer is set to; [`Nanos::NEVER`] once it has gone off. Only this CPU uses it.
    pub armed: AtomicU64,
    /// When the running vCPU's time is up; [`Nanos::NEVER`] while nobody waits.
    pub slice_end: AtomicU64,
    /// vCPUs that have their home here.
    pub homes: AtomicU32,
    /// The CPU should pick again.
    pub resched: AtomicBool,
    /// CPUs that the vCPU which last ran here [astray](super::affinity) wishes for.
    pub wished: AtomicU64,
}

/// The vCPUs that wait for this CPU, and those that wait for a time.
pub(super) struct Queue<V> {
    /// In the order of their deadlines. One that has run goes to the far end, one that wakes to the near one: either
    /// way few others move.
    ready: VecDeque<Ready<V>>,
    /// In the order of time.
    timers: VecDeque<(Nanos, V)>,
    /// Of those in `ready` and the one that runs.
    clock: Clock,
    /// What makes the clock comparable with other queues'.
    offset: i64,
    running: Option<Running>,
    /// When the last one stopped, if the CPU has not idled since: the next one is charged for the time in between, so that
    /// those who switch all the time pay for that themselves.
    stopped: Option<Nanos>,
    /// Ns that vCPUs ran here, as far as they were charged for it.
    busy: u64,
    /// This one lets another go first.
    yields: Option<V>,
    helpers: CpuMask,
}

/// A queued vCPU.
pub(super) struct Ready<V> {
    pub vtime: Vtime,
    pub deadline: Vtime,
    pub allowed: CpuMask,
    pub vcpu: V,
}

/// Who goes next.
pub(super) enum Next<V> {
    /// This one, which is *running* now: until then if somebody waits, until `limit` if nobody does.
    Runs { vcpu: V, slice_end: Nanos, limit: Nanos },
    /// This one, but on another CPU, where it is owed `lag`.
    Stray { vcpu: V, lag: i64 },
}

#[derive(Clone, Copy)]
struct Running {
    /// Since when it has not been charged.
    since: Nanos,
    /// Ns that it was charged for since it began.
    ran: u64,
    vtime: Vtime,
    deadline: Vtime,
    weight: u64,
}

impl<V> Default for CpuQueue<V> {
    fn default() -> Self {
        let queue = Queue {
            ready: VecDeque::new(),
            timers: VecDeque::new(),
            clock: Clock::default(),
            offset: 0,
            running: None,
            stopped: None,
            busy: 0,
            yields: None,
            helpers: CpuMask(0),
        };
        Self {
            lock: Lock::new(Class::Queue, queue),
            ready: AtomicUsize::new(0),
            helpers: AtomicU64::new(0),
            clock: AtomicU64::new(0),
            weight: AtomicU64::new(0),
            timer: AtomicU64::new(Nanos::NEVER.0),
            armed: AtomicU64::new(Nanos::NEVER.0),
            slice_end: AtomicU64::new(Nanos::NEVER.0),
            homes: AtomicU32::new(0),
            resched: AtomicBool::new(false),
            wished: AtomicU64::new(0),
        }
    }
}

/// The locked queue; what others look at is published when it is used.
pub(super) struct Locked<'a, V> {
    cpu: &'a CpuQueue<V>,
    queue: LockGuard<'a, Queue<V>>,
}

impl<V: Schedulable> Locked<'_, V> {
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Queue<V>) -> R) -> R {
        let (cpu, queue) = (self.cpu, &mut *self.queue);
        let result = f(queue);
        cpu.ready.store(queue.ready.len(), Ordering::Relaxed);
        cpu.helpers.store(queue.helpers.0, Ordering::Relaxed);
        cpu.clock.store(queue.clock.now().plus(queue.offset).0, Ordering::Relaxed);
        cpu.weight.store(queue.clock.weight(), Ordering::Relaxed);
        cpu.timer.store(queue.timers.front().map_or(Nanos::NEVER, |timer| timer.0).0, Ordering::Relaxed);
        result
    }
}

impl<V: Schedulable> CpuQueue<V> {
    pub fn lock(&self) -> Locked<'_, V> {
        Locked { cpu: self, queue: self.lock.lock() }
    }

    pub fn with<R>(&self, f: impl FnOnce(&mut Queue<V>) -> R) -> R {
        self.lock().with(f)
    }

    pub fn try_with<R>(&self, f: impl FnOnce(&mut Queue<V>) -> R) -> Option<R> {
        let queue = self.lock.try_lock()?;
        Some(Locked { cpu: self, queue }.with(f))
    }

    /// Whether vCPUs are queued.
    pub fn is_waited_for(&self) -> bool {
        self.ready.load(Ordering::Relaxed) != 0
    }

    /// CPUs that could take one of the queued.
    pub fn helpers(&self) -> CpuMask {
        CpuMask(self.helpers.load(Ordering::Relaxed))
    }

    pub fn clock(&self) -> Vtime {
        Vtime(self.clock.load(Ordering::Relaxed))
    }

    pub fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Ns that it ran vCPUs.
    pub fn busy(&self, now: Nanos) -> u64 {
        let queue = self.lock.lock();
        queue.busy + queue.running.map_or(0, |running| now.since(running.since))
    }

    pub fn first_timer(&self) -> Nanos {
        Nanos(self.timer.load(Ordering::Relaxed))
    }

    pub fn slice_end(&self) -> Nanos {
        Nanos(self.slice_end.load(Ordering::Relaxed))
    }
}

impl<V: Schedulable> Queue<V> {
    pub fn reserve(&mut self, vcpus: usize) -> Result<(), NoMemory> {
        let ready = vcpus.saturating_sub(self.ready.len());
        let timers = vcpus.saturating_sub(self.timers.len());
        fallible::reserve_queue(&mut self.ready, ready)?;
        fallible::reserve_queue(&mut self.timers, timers)
    }

    /// How far the clock is ahead of a vCPU that belongs here: what it is owed.
    pub fn lag(&self, node: &SchedNode, now: Nanos) -> i64 {
        let ran = self.running.map_or(0, |running| now.since(running.since));
        self.clock.after(ran.min(LONGEST_RUN)).ahead_of(node.vtime())
    }

    /// Queues a vCPU that comes from elsewhere and is owed `lag`; of that, `most` slices count, and two of what it has
    /// had too much. Says whether it should go before the one that runs.
    pub fn admit(&mut self, vcpu: V, allowed: CpuMask, lag: i64, most: i64, now: Nanos) -> bool {
        let node = vcpu.node();
        let weight = u64::from(node.weight());
        self.charge_running(now);
        let clock = self.clock.now();
        // It takes the mean along: what counts is how far it is from there afterwards.
        let lag = match self.clock.weight() {
            0 => 0,
            others => {
                let unit = slice(weight) + slice(others);
                lag.clamp(-2 * unit, (most * unit).min(LONGEST_TURN * slice(weight)))
            }
        };
        let vtime = clock.plus(-lag);
        node.set_vtime(vtime);
        self.clock.join(vtime, weight);
        let deadline = node.deadline();
        self.push(Ready { vtime, deadline, allowed, vcpu });
        self.running.is_none_or(|running| {
            let is_late = running.vtime.ahead_of(running.deadline) >= 0;
            let goes_first = running.deadline.ahead_of(deadline) > virtual_ns(GRANULARITY, running.weight);
            lag >= 0 && (is_late || goes_first)
        })
    }

    /// Queues a vCPU that counts here already.
    pub fn push(&mut self, ready: Ready<V>) {
        let (deadline, allowed) = (ready.deadline, ready.allowed);
        if self.ready.back().is_none_or(|last| last.deadline.ahead_of(deadline) <= 0) {
            self.ready.push_back(ready);
        } else {
            let at = self.ready.partition_point(|other| other.deadline.ahead_of(deadline) <= 0);
            self.ready.insert(at, ready);
        }
        self.helpers.0 |= allowed.0;
    }

    #[inline(always)]
    fn remove_at(&mut self, at: usize) -> Option<V> {
        let ready = if at == 0 { self.ready.pop_front() } else { self.ready.remove(at) };
        let vcpu = ready?.vcpu;
        if self.ready.is_empty() {
            self.helpers = CpuMask(0);
        }
        Some(vcpu)
    }

    /// A vCPU no longer wants this CPU.
    pub fn leave(&mut self, vcpu: &V) {
        let node = vcpu.node();
        self.clock.leave(node.vtime(), node.weight().into());
    }

    /// Charges the running vCPU for its time up to now.
    fn charge_running(&mut self, now: Nanos) {
        if let Some(running) = &mut self.running {
            let ran = now.since(running.since);
            // Who comes late with an earlier time does not turn it back.
            running.since = running.since.max(now);
            running.ran += ran;
            self.busy += ran;
            let distance = virtual_ns(ran.min(LONGEST_RUN), running.weight);
            running.vtime = running.vtime.plus(distance);
            self.clock.advance(distance, running.weight);
        }
    }

    /// The running vCPU stops: how long it ran. If it yields, another goes next.
    pub fn stop(&mut self, vcpu: &V, node: &SchedNode, now: Nanos) -> u64 {
        self.charge_running(now);
        let Some(running) = self.running.take() else { return 0 };
        node.set_vtime(running.vtime);
        self.stopped = Some(now);
        self.yields = node.take_yield().then(|| vcpu.clone());
        running.ran
    }

    /// Takes the vCPU that goes next of those that `who` names, and parks those that it meets and that may not run: held
    /// ones, and those whose domain has used up its budget. `may_run` says who may run here.
    pub fn start(
        &mut self,
        cpu: CpuId,
        now: Nanos,
        who: impl Fn(&V) -> bool,
        may_run: impl Fn(&V, &SchedNode) -> bool,
    ) -> Option<Next<V>> {
        loop {
            let Some(vcpu) = self.next(&who).and_then(|at| self.remove_at(at)) else {
                self.stopped = None;
                return None;
            };
            let node = vcpu.node();
            if node.is_held() {
                self.leave(&vcpu);
                set_state(&vcpu, node, State::Parked, now);
                continue;
            }
            if !may_run(&vcpu, node) {
                let lag = self.lag(node, now);
                self.leave(&vcpu);
                return Some(Next::Stray { vcpu, lag });
            }
            match node.runs_until(vcpu.budget(), now) {
                Err(renewed) => {
                    self.leave(&vcpu);
                    set_state(&vcpu, node, State::Capped, now);
                    self.add_timer(renewed, vcpu);
                }
                Ok(limit) => {
                    let weight = u64::from(node.weight());
                    let (vtime, deadline) = (node.vtime(), node.deadline());
                    let since = self.stopped.take().unwrap_or(now);
                    self.running = Some(Running { since, ran: 0, vtime, deadline, weight });
                    self.yields = None;
                    set_state(&vcpu, node, State::Running(cpu), now);
                    let slice = real_ns(deadline.ahead_of(vtime), weight).max(GRANULARITY);
                    return Some(Next::Runs { vcpu, slice_end: limit.min(now + slice), limit });
                }
            }
        }
    }

    /// Where the vCPU is that goes next. Nobody who is ahead of the clock goes before one who is not, so the search
    /// ends early: it passes only those that are ahead and of so much weight that they are due before all who are not.
    #[inline]
    fn next(&self, who: impl Fn(&V) -> bool) -> Option<usize> {
        let clock = self.clock.now();
        let counts = |ready: &Ready<V>| who(&ready.vcpu);
        let may_go = |ready: &Ready<V>| {
            counts(ready) && !self.yields.as_ref().is_some_and(|yields| *yields == ready.vcpu)
        };
        let is_owed = |ready: &Ready<V>| clock.ahead_of(ready.vtime) >= 0 && may_go(ready);
        // Most often it is the first.
        if self.ready.front().is_some_and(is_owed) {
            return Some(0);
        }
        let owed = self.ready.iter().position(is_owed);
        owed.or_else(|| self.ready.iter().position(may_go)).or_else(|| self.ready.iter().position(counts))
    }

    /// Who goes next of those that `who` names: where it may run, whether it is owed time, and when it is due by a clock
    /// that can be compared.
    pub fn head(&self, who: impl Fn(&V) -> bool) -> Option<(&V, CpuMask, (bool, Vtime))> {
        let next = self.ready.get(self.next(who)?)?;
        let is_owed = self.clock.now().ahead_of(next.vtime) >= 0;
        Some((&next.vcpu, next.allowed, (is_owed, next.deadline.plus(self.offset))))
    }

    /// Takes out one that waits here and may not run here, with what it is owed.
    pub fn take_stray(&mut self, now: Nanos, may_run: impl Fn(&V) -> bool) -> Option<(V, i64)> {
        let stray = self.ready.iter().find(|ready| !may_run(&ready.vcpu))?.vcpu.clone();
        self.take(&stray, now).map(|lag| (stray, lag))
    }

    /// Whether one waits here that `who` names.
    pub fn has(&self, who: impl Fn(&V, CpuMask) -> bool) -> bool {
        self.ready.iter().any(|ready| who(&ready.vcpu, ready.allowed))
    }

    /// Whether the only one that waits is about to run, once its CPU has picked.
    pub fn is_awaited(&self) -> bool {
        self.running.is_none() && self.ready.len() == 1
    }

    /// Gives a vCPU away that `who` names and that may run on `thief`, with how far it is behind `clock`: at least `lag`,
    /// and at least `reluctant` if it loses this CPU, `here`, as one that it wishes for. Best one that does not. Nobody is
    /// considered again who may not run there.
    pub fn give(
        &mut self,
        here: CpuId,
        thief: CpuId,
        clock: Vtime,
        lag: i64,
        reluctant: i64,
        who: impl Fn(&V) -> bool,
    ) -> Option<(V, i64)> {
        let lag_of = |vtime: Vtime| clock.ahead_of(vtime.plus(self.offset));
        let mut second_best = None;
        let found = self.ready.iter().enumerate().find_map(|(at, ready)| {
            let may = ready.allowed.contains(thief)
                && lag_of(ready.vtime) >= lag
                && !ready.vcpu.node().is_held()
                && who(&ready.vcpu);
            let is_glad = may && goes_gladly(&ready.vcpu, ready.allowed, here, thief);
            if may && !is_glad {
                second_best = second_best.or((lag_of(ready.vtime) >= reluctant).then_some(at));
            }
            is_glad.then_some(at)
        });
        let Some(at) = found.or(second_best) else {
            self.helpers = CpuMask(self.ready.iter().fold(0, |all, ready| all | ready.allowed.0));
            return None;
        };
        let lag = self.ready.get(at).map(|ready| lag_of(ready.vtime))?;
        let vcpu = self.remove_at(at)?;
        self.leave(&vcpu);
        Some((vcpu, lag))
    }

    /// Nobody wants this CPU, and one that is `lag` behind `clock` is about to: that is what its clock shows.
    pub fn follow(&mut self, clock: Vtime, lag: i64) {
        if self.clock.weight() == 0 {
            self.offset = clock.plus(-lag).ahead_of(self.clock.now());
        }
    }

    /// Moves this queue's clock against the others'.
    pub fn shift(&mut self, distance: i64) {
        self.offset = self.offset.wrapping_add(distance);
    }

    pub fn add_timer(&mut self, deadline: Nanos, vcpu: V) {
        vcpu.node().set_timer(deadline);
        let at = self.timers.partition_point(|(other, _)| *other <= deadline);
        self.timers.insert(at, (deadline, vcpu));
    }

    /// Says whether it had one.
    #[inline]
    pub fn remove_timer(&mut self, vcpu: &V, node: &SchedNode) -> bool {
        let has_timer = node.timer() != Nanos::NEVER;
        if has_timer {
            self.take_timer(vcpu);
        }
        has_timer
    }

    #[inline(never)]
    fn take_timer(&mut self, vcpu: &V) {
        let deadline = vcpu.node().timer();
        let first = self.timers.partition_point(|(other, _)| *other < deadline);
        if let Some(at) = self.timers.iter().skip(first).position(|(_, other)| other == vcpu) {
            self.timers.remove(first + at);
        }
        vcpu.node().set_timer(Nanos::NEVER);
    }

    /// Takes a vCPU whose timer goes off up to `due`. True if it was capped: then it may be woken now.
    pub fn take_due(&mut self, due: Nanos, now: Nanos) -> Option<(V, bool)> {
        self.timers.front().filter(|(deadline, _)| *deadline <= due)?;
        let (_, vcpu) = self.timers.pop_front()?;
        let node = vcpu.node();
        node.set_timer(Nanos::NEVER);
        let capped = node.state() == State::Capped;
        if capped {
            set_state(&vcpu, node, State::Parked, now);
        }
        Some((vcpu, capped))
    }

    /// Who waits here may have other CPUs now.
    pub fn refresh(&mut self, allowed: impl Fn(&V) -> CpuMask) {
        self.ready.iter_mut().for_each(|ready| ready.allowed = allowed(&ready.vcpu));
        self.helpers = CpuMask(self.ready.iter().fold(0, |all, ready| all | ready.allowed.0));
    }

    /// Whether nobody runs or waits here, not even for a time.
    pub fn is_deserted(&self) -> bool {
        self.running.is_none() && self.ready.is_empty() && self.timers.is_empty()
    }

    /// Takes a queued vCPU out, with what it is owed; `None` if it does not wait here.
    pub fn take(&mut self, vcpu: &V, now: Nanos) -> Option<i64> {
        let at = self.ready.iter().position(|ready| ready.vcpu == *vcpu)?;
        let lag = self.lag(vcpu.node(), now);
        self.remove_at(at)?;
        self.leave(vcpu);
        Some(lag)
    }

    /// Changes the weight of a vCPU that belongs here. What it is owed, in real time, stays.
    pub fn set_weight(&mut self, vcpu: &V, weight: u32, now: Nanos) {
        let node = vcpu.node();
        let runs = matches!(node.state(), State::Running(_));
        if let Some(running) = self.running.filter(|_| runs) {
            self.charge_running(now);
            node.set_vtime(self.running.unwrap_or(running).vtime);
        }
        let waits =
            self.ready.iter().position(|ready| ready.vcpu == *vcpu).and_then(|at| self.ready.remove(at));
        if !runs && waits.is_none() {
            return node.set_weight(weight);
        }
        let lag = self.lag(node, now) * i64::from(node.weight()) / i64::from(weight);
        let clock = self.clock.now();
        self.leave(vcpu);
        node.set_weight(weight);
        node.set_vtime(clock.plus(-lag));
        self.clock.join(node.vtime(), weight.into());
        if let Some(waits) = waits {
            self.push(Ready { vtime: node.vtime(), deadline: node.deadline(), ..waits });
        }
        if let Some(running) = self.running.as_mut().filter(|_| runs) {
            (running.vtime, running.deadline, running.weight) =
                (node.vtime(), node.deadline(), weight.into());
        }
    }
}

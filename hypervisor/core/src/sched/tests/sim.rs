//! A machine in virtual time. Its CPUs do what the kernel's do (`serve` there, and [`run`](crate::run::run)); its vCPUs
//! compute and sleep by rule. Nothing in it is left to chance.

use core::cell::{Cell, RefCell};
use core::ops::Deref;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use core::cmp::Reverse;

use crate::ids::{CpuId, PoolId};
use crate::machine::{CpuMask, CpuPlace};
use crate::sched::{Budget, Cpus, Granularity, Policy, RunTimes, SchedNode, Schedulable, Scheduler, State};
use crate::time::Nanos;

pub const MS: u64 = Nanos::MILLISECOND;
pub const SECOND: u64 = 1000 * MS;

/// What the scheduler sees of the machine.
pub struct Machine {
    now: Cell<u64>,
    this: Cell<u32>,
    timers: RefCell<Vec<u64>>,
    kicked: RefCell<Vec<bool>>,
    /// Timer interrupts and kicks taken, by CPU.
    interrupts: RefCell<Vec<u32>>,
    /// Threads of a core, and of what shares a cache.
    shape: (u32, u32),
}

impl Machine {
    pub fn new(cpus: u32) -> Self {
        Self::with_shape(cpus, 1, cpus)
    }

    /// One with cores of so many threads, and caches for so many.
    pub fn with_shape(cpus: u32, in_core: u32, in_cache: u32) -> Self {
        let cpus = cpus as usize;
        Self {
            now: Cell::new(0),
            this: Cell::new(0),
            timers: RefCell::new(vec![u64::MAX; cpus]),
            kicked: RefCell::new(vec![false; cpus]),
            interrupts: RefCell::new(vec![0; cpus]),
            shape: (in_core, in_cache),
        }
    }

    fn set_this(&self, cpu: CpuId) {
        self.this.set(cpu.0);
    }

    fn advance(&self, to: u64) {
        assert!(to >= self.now.get());
        self.now.set(to);
    }

    /// Whether the CPU's timer goes off now; then it is no longer set.
    fn take_timer(&self, cpu: CpuId) -> bool {
        let timer = &mut self.timers.borrow_mut()[cpu.index()];
        let due = *timer <= self.now.get();
        if due {
            *timer = u64::MAX;
        }
        due
    }

    fn timer(&self, cpu: CpuId) -> u64 {
        self.timers.borrow()[cpu.index()]
    }

    fn take_kick(&self, cpu: CpuId) -> bool {
        core::mem::take(&mut self.kicked.borrow_mut()[cpu.index()])
    }

    pub fn interrupts(&self, cpu: CpuId) -> u32 {
        self.interrupts.borrow()[cpu.index()]
    }
}

impl Cpus for &Machine {
    fn cpus(self) -> u32 {
        self.timers.borrow().len() as u32
    }

    fn this_cpu(self) -> CpuId {
        CpuId(self.this.get())
    }

    fn place(self, cpu: CpuId) -> CpuPlace {
        CpuPlace { core: cpu.0 / self.shape.0, cache: cpu.0 / self.shape.1, socket: 0 }
    }

    fn kick(self, cpu: CpuId) {
        self.kicked.borrow_mut()[cpu.index()] = true;
    }

    fn now(self) -> Nanos {
        Nanos(self.now.get())
    }

    fn arm_timer(self, deadline: Nanos) {
        self.timers.borrow_mut()[self.this.get() as usize] = deadline.0.max(self.now.get());
    }
}

/// What a vCPU does.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// Computes all the time.
    Compute,
    /// Computes for so long each time that its timer wakes it, and sets it for so long after.
    Sleep { burst: u64, pause: u64 },
}

/// A vCPU.
#[derive(Clone)]
pub struct Vcpu(Rc<Inner>);

pub struct Inner {
    pub node: SchedNode,
    budget: Rc<Budget>,
    pub pool: Cell<PoolId>,
    domain: Cell<u32>,
    work: Cell<bool>,
    job: Job,
    /// What is left of the burst.
    left: Cell<u64>,
    /// When the timer that it sleeps for goes off.
    pub alarm: Cell<Nanos>,
    /// It has been woken then and has not run since.
    woken: Cell<Option<u64>>,
    /// Time that it ran on each CPU.
    ran_on: RefCell<[u64; 64]>,
    /// From each wake-up until it ran.
    pub latencies: RefCell<Vec<u64>>,
}

impl Deref for Vcpu {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Vcpu {
    pub fn new(job: Job, budget: Rc<Budget>) -> Self {
        let left = match job {
            Job::Compute => u64::MAX,
            Job::Sleep { burst, .. } => burst,
        };
        Self(Rc::new(Inner {
            node: SchedNode::new(Nanos(0)),
            budget,
            pool: Cell::new(PoolId::ZERO),
            domain: Cell::new(0),
            work: Cell::new(false),
            job,
            left: Cell::new(left),
            alarm: Cell::new(Nanos::NEVER),
            woken: Cell::new(None),
            ran_on: RefCell::new([0; 64]),
            latencies: RefCell::default(),
        }))
    }

    /// Makes an event visible.
    pub fn post(&self) {
        self.work.set(true);
    }

    /// Whether an event has not been seen.
    pub fn has_event(&self) -> bool {
        self.work.get()
    }

    /// Sees all events.
    fn take_work(&self) -> bool {
        self.work.take()
    }

    pub fn times(&self, now: u64) -> [u64; 4] {
        self.node.times(Nanos(now)).spent
    }

    pub fn ran(&self, now: u64) -> u64 {
        self.times(now)[RunTimes::RUNNING]
    }

    /// Time that it ran on some CPUs.
    pub fn ran_on(&self, cpus: CpuMask) -> u64 {
        cpus.iter().map(|cpu| self.ran_on.borrow()[cpu.index()]).sum()
    }

    pub fn waited(&self, now: u64) -> u64 {
        self.times(now)[RunTimes::RUNNABLE]
    }
}

impl PartialEq for Vcpu {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Schedulable for Vcpu {
    fn node(&self) -> &SchedNode {
        &self.node
    }

    fn domain_number(&self) -> u32 {
        self.domain.get()
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn pool(&self) -> PoolId {
        self.pool.get()
    }

    fn has_work(&self) -> bool {
        self.work.get()
    }

    fn timer_is_due(&self) {
        self.post();
        self.woken.set(Some(self.alarm.get().0));
    }
}

/// The machine with its scheduler and vCPUs.
pub struct Sim<'a> {
    pub machine: &'a Machine,
    pub sched: Scheduler<&'a Machine, Vcpu>,
    pub vcpus: Vec<Vcpu>,
    running: Vec<Option<Vcpu>>,
    /// CPUs in the hypervisor.
    unsettled: Vec<bool>,
    /// Interrupts of devices: when, for whom.
    events: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<'a> Sim<'a> {
    pub fn new(machine: &'a Machine) -> Self {
        Self::with_policy(machine, Policy::default())
    }

    pub fn with_policy(machine: &'a Machine, policy: Policy) -> Self {
        let cpus = machine.cpus();
        let mut sched = Scheduler::new(machine, CpuMask::first(cpus)).expect("memory");
        sched.follow(policy).expect("memory");
        let running = vec![None; cpus as usize];
        let unsettled = vec![true; cpus as usize];
        let mut sim =
            Self { machine, sched, vcpus: Vec::new(), running, unsettled, events: BinaryHeap::new() };
        sim.settle();
        sim
    }

    /// Does something in the hypervisor on a CPU, as a guest's call or an interrupt would.
    pub fn on<R>(&mut self, cpu: CpuId, f: impl FnOnce(&mut Self) -> R) -> R {
        let result = self.only_on(cpu, f);
        self.settle();
        result
    }

    /// The same, but the CPU stays in the hypervisor.
    pub fn only_on<R>(&mut self, cpu: CpuId, f: impl FnOnce(&mut Self) -> R) -> R {
        self.machine.set_this(cpu);
        self.unsettled[cpu.index()] = true;
        f(self)
    }

    /// Adds a vCPU of its own domain and starts it.
    pub fn add(&mut self, job: Job, weight: u32, cpus: CpuMask) -> Vcpu {
        self.add_to(Rc::default(), job, weight, cpus)
    }

    /// Adds a vCPU of a domain and starts it.
    pub fn add_to(&mut self, budget: Rc<Budget>, job: Job, weight: u32, cpus: CpuMask) -> Vcpu {
        let domain = self.vcpus.len() as u32 + 1000;
        self.add_of(domain, budget, job, weight, cpus)
    }

    /// The same, of the domain with that number.
    pub fn add_of(&mut self, domain: u32, budget: Rc<Budget>, job: Job, weight: u32, cpus: CpuMask) -> Vcpu {
        let vcpu = Vcpu::new(job, budget);
        vcpu.domain.set(domain);
        self.vcpus.push(vcpu.clone());
        self.sched.reserve(self.vcpus.len()).expect("memory");
        self.sched.set_affinity(&vcpu, cpus);
        self.sched.place(&vcpu);
        self.sched.set_weight(&vcpu, weight);
        self.on(CpuId(0), |sim| {
            sim.sched.give_seat(&vcpu);
            sim.sched.release(&vcpu);
        });
        vcpu
    }

    pub fn now(&self) -> u64 {
        self.machine.now().0
    }

    /// Lets a device interrupt a vCPU.
    pub fn interrupt_at(&mut self, at: u64, vcpu: usize) {
        self.events.push(Reverse((at, vcpu)));
    }

    /// Lets time pass.
    pub fn run_until(&mut self, end: u64) {
        loop {
            let cpus = (0..self.running.len() as u32).map(CpuId);
            let (at, cpu) = cpus.map(|cpu| (self.next_on(cpu), cpu)).min().expect("a CPU");
            let event = self.events.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            if at.min(event) > end {
                break;
            }
            self.advance(at.min(event));
            if event <= at {
                if let Some(Reverse((_, vcpu))) = self.events.pop() {
                    let vcpu = self.vcpus[vcpu].clone();
                    vcpu.post();
                    vcpu.woken.set(Some(self.now()));
                    self.on(vcpu.node.home(), |sim| sim.sched.wake(&vcpu));
                }
            } else {
                self.leave_guest(cpu);
            }
            self.answer_kicks();
            self.assert_conserves_work();
        }
        self.advance(end);
    }

    /// When something happens on a CPU.
    fn next_on(&self, cpu: CpuId) -> u64 {
        let running = self.running[cpu.index()].as_ref();
        let done = running.map_or(u64::MAX, |vcpu| self.now().saturating_add(vcpu.left.get()));
        self.machine.timer(cpu).min(done).max(self.now())
    }

    fn advance(&self, to: u64) {
        let passed = to - self.now();
        self.machine.advance(to);
        for (cpu, vcpu) in self.running.iter().enumerate().filter_map(|(i, vcpu)| Some((i, vcpu.as_ref()?))) {
            vcpu.ran_on.borrow_mut()[cpu] += passed;
            vcpu.left.set(vcpu.left.get().saturating_sub(passed));
        }
    }

    fn answer_kicks(&mut self) {
        while let Some(cpu) =
            (0..self.running.len() as u32).map(CpuId).find(|cpu| self.machine.take_kick(*cpu))
        {
            self.leave_guest(cpu);
        }
    }

    /// A CPU comes out of its guest, or out of its sleep, and goes back in.
    fn leave_guest(&mut self, cpu: CpuId) {
        self.machine.interrupts.borrow_mut()[cpu.index()] += 1;
        while !self.step(cpu) {}
    }

    /// What a CPU does until its next call of the scheduler. True if it is in a guest then, or asleep.
    pub fn step(&mut self, cpu: CpuId) -> bool {
        self.machine.set_this(cpu);
        if self.machine.take_timer(cpu) {
            self.sched.timer();
        }
        let done = match self.running[cpu.index()].take() {
            Some(vcpu) if self.goes_on(&vcpu) => {
                self.sched.arm_for_running(vcpu.alarm.get(), self.sched.machine.now());
                self.running[cpu.index()] = Some(vcpu);
                true
            }
            Some(vcpu) => {
                let alarm = vcpu.alarm.get();
                self.sched.put(vcpu, alarm);
                false
            }
            None => {
                let next = self.sched.pick();
                next.iter().for_each(|vcpu| self.switched_in(vcpu));
                let asleep = next.is_none() && !self.sched.should_reschedule();
                self.running[cpu.index()] = next;
                asleep
            }
        };
        self.unsettled[cpu.index()] = !done;
        self.assert_cores_are_not_shared();
        done
    }

    /// Lets the CPUs that are in the hypervisor, or have been called there, go on until none is.
    pub fn settle(&mut self) {
        while let Some(cpu) = (0..self.unsettled.len()).find(|cpu| self.unsettled[*cpu]) {
            self.leave_guest(CpuId(cpu as u32));
        }
        self.answer_kicks();
    }

    /// What runs on a CPU.
    pub fn running(&self, cpu: CpuId) -> Option<&Vcpu> {
        self.running[cpu.index()].as_ref()
    }

    /// The domain that runs in each core, by the core's number. None runs two.
    fn tenants(&self) -> Vec<Option<u32>> {
        let mut tenants = vec![None; self.running.len()];
        for (cpu, vcpu) in self.running.iter().enumerate() {
            let Some(domain) = vcpu.as_ref().map(|vcpu| vcpu.domain.get()) else { continue };
            let tenant = &mut tenants[self.machine.place(CpuId(cpu as u32)).core as usize];
            assert!(tenant.is_none_or(|tenant| tenant == domain), "two domains in the core of {cpu}");
            *tenant = Some(domain);
        }
        tenants
    }

    fn assert_cores_are_not_shared(&self) {
        if self.sched.policy().granularity == Granularity::Core {
            self.tenants();
        }
    }

    /// No vCPU waits while a CPU that it may use does nothing, and may do it.
    pub fn assert_conserves_work(&self) {
        let by_core = self.sched.policy().granularity == Granularity::Core;
        let idle: Vec<usize> = (0..self.running.len()).filter(|cpu| self.running[*cpu].is_none()).collect();
        if idle.is_empty() {
            return;
        }
        let tenants = if by_core { self.tenants() } else { vec![None; self.running.len()] };
        for (i, vcpu) in self.vcpus.iter().enumerate() {
            if vcpu.node.state() != State::Queued || vcpu.node.is_held() {
                continue;
            }
            let lets_in = |cpu: &&usize| {
                let tenant = tenants[self.machine.place(CpuId(**cpu as u32)).core as usize];
                tenant.is_none_or(|tenant| tenant == vcpu.domain.get())
            };
            let idle = idle.iter().filter(lets_in).fold(0, |all, cpu| all | 1 << cpu);
            assert!(self.sched.allowed(vcpu).0 & idle == 0, "{i} waits while CPUs {idle:#b} idle");
        }
    }

    fn switched_in(&self, vcpu: &Vcpu) {
        if let Some(at) = vcpu.woken.take() {
            // One whose CPU has left its pool is woken early.
            vcpu.latencies.borrow_mut().push(self.now().saturating_sub(at));
        }
    }

    /// What stands between a guest's exit and its next entry.
    fn goes_on(&self, vcpu: &Vcpu) -> bool {
        if let (Job::Sleep { burst, pause }, 0) = (vcpu.job, vcpu.left.get()) {
            vcpu.left.set(burst);
            vcpu.alarm.set(Nanos(self.now()) + pause);
            vcpu.node.block();
        }
        if vcpu.node.is_held() || self.sched.should_reschedule() {
            return false;
        }
        if vcpu.take_work() {
            vcpu.node.unblock();
            vcpu.alarm.set(Nanos::NEVER);
        }
        !vcpu.node.is_blocked()
    }
}

//! Every interleaving of a CPU that runs, parks and moves a vCPU with others that wake, hold and confine it, as far as it
//! takes three preemptions.
//!
//! A guest's run is an access to the cell in its vCPU: loom tells if anybody else is at it, or could see it half done.

use core::cell::Cell;
use std::boxed::Box;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::thread;

use super::{Budget, Cpus, Granularity, Policy, SchedNode, Schedulable, Scheduler, Sharing};
use crate::entries::Entries;
use crate::ids::{CpuId, PoolId};
use crate::machine::{CpuMask, CpuPlace};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::time::Nanos;

const CPUS: u32 = 3;

loom::thread_local! {
    static THIS_CPU: Cell<CpuId> = Cell::new(CpuId(0));
}

fn become_cpu(cpu: u32) {
    THIS_CPU.with(|this| this.set(CpuId(cpu)));
}

/// The CPUs, each with whether it has been kicked.
#[derive(Clone, Copy)]
struct Machine(&'static [AtomicBool; CPUS as usize]);

impl Cpus for Machine {
    fn cpus(self) -> u32 {
        CPUS
    }
    fn this_cpu(self) -> CpuId {
        THIS_CPU.with(Cell::get)
    }
    fn kick(self, cpu: CpuId) {
        self.0[cpu.index()].store(true, Ordering::Release);
    }
    fn now(self) -> Nanos {
        Nanos(Nanos::MILLISECOND)
    }
    fn arm_timer(self, _: Nanos) {}
    /// CPUs 0 and 1 are threads of one core.
    fn place(self, cpu: CpuId) -> CpuPlace {
        CpuPlace { core: cpu.0 / 2, ..CpuPlace::default() }
    }
}

#[derive(Clone)]
struct Vcpu(Arc<Inner>);

struct Inner {
    node: SchedNode,
    budget: Budget,
    domain: u32,
    pool: AtomicU32,
    event: AtomicBool,
    context: UnsafeCell<()>,
}

impl PartialEq for Vcpu {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Schedulable for Vcpu {
    fn node(&self) -> &SchedNode {
        &self.0.node
    }
    fn domain_number(&self) -> u32 {
        self.0.domain
    }
    fn budget(&self) -> &Budget {
        &self.0.budget
    }
    fn pool(&self) -> PoolId {
        PoolId(self.0.pool.load(Ordering::SeqCst))
    }
    fn has_work(&self) -> bool {
        self.0.event.load(Ordering::Relaxed)
    }
    fn timer_is_due(&self) {}
}

impl Vcpu {
    /// One that is queued on CPU 0.
    fn queued(sched: &Scheduler<Machine, Self>) -> Self {
        Self::queued_of(sched, 0)
    }

    /// The same, of some domain.
    fn queued_of(sched: &Scheduler<Machine, Self>, domain: u32) -> Self {
        let vcpu = Self(Arc::new(Inner {
            node: SchedNode::new(sched.machine.now()),
            budget: Budget::default(),
            domain,
            pool: AtomicU32::new(0),
            event: AtomicBool::new(false),
            context: UnsafeCell::new(()),
        }));
        vcpu.node().set_home(CpuId(0));
        sched.release(&vcpu);
        vcpu
    }

    /// Uses what belongs to whoever runs it or has stopped it.
    fn touch(&self) {
        self.0.context.with_mut(|_| ());
    }

    fn take_event(&self) -> bool {
        self.0.event.swap(false, Ordering::Relaxed)
    }
}

/// A scheduler with one vCPU, which is queued.
struct Model {
    sched: Scheduler<Machine, Vcpu>,
    vcpu: Vcpu,
}

impl Model {
    fn new(pool: u32) -> Arc<Self> {
        Self::with_policy(pool, Policy::default())
    }

    fn with_policy(pool: u32, policy: Policy) -> Arc<Self> {
        let machine = Machine(Box::leak(Box::new(core::array::from_fn(|_| AtomicBool::new(false)))));
        let mut sched = Scheduler::new(machine, CpuMask::first(pool)).unwrap();
        sched.follow(policy).unwrap();
        let vcpu = Vcpu::queued(&sched);
        Arc::new(Self { sched, vcpu })
    }

    /// Does something on another CPU at the same time.
    fn spawn(self: &Arc<Self>, cpu: u32, f: impl FnOnce(&Self) + 'static) -> thread::JoinHandle<()> {
        let model = self.clone();
        thread::spawn(move || {
            become_cpu(cpu);
            f(&model);
        })
    }

    fn send_event(&self) {
        self.vcpu.0.event.store(true, Ordering::Relaxed);
        self.sched.wake(&self.vcpu);
    }

    /// Whether this CPU runs the vCPU for a while.
    fn run(&self) -> bool {
        let picked = self.sched.pick();
        if let Some(vcpu) = &picked {
            vcpu.touch();
            vcpu.take_event();
        }
        picked.is_some()
    }

    /// The vCPU, which runs here, waits for an event.
    fn block(&self) {
        self.vcpu.node().block();
        self.put();
    }

    fn put(&self) {
        self.sched.put(self.vcpu.clone(), Nanos::NEVER);
    }

    fn was_kicked(&self, cpu: u32) -> bool {
        self.sched.machine.0[cpu as usize].swap(false, Ordering::Acquire)
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    bounded(3, f);
}

/// With at most so many switches that no thread asks for: one more takes a model of two spinning threads minutes.
fn bounded(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 10_000;
    builder.check(f);
}

#[test]
fn who_blocks_sees_the_event_or_is_woken() {
    model(|| {
        let model = Model::new(1);
        assert!(model.run());
        model.was_kicked(0);
        let waker = model.spawn(1, Model::send_event);
        model.block();
        let woken = model.run();
        waker.join().unwrap();
        if !woken {
            assert!(model.was_kicked(0), "the CPU sleeps on");
            assert!(model.run(), "the wake-up is lost");
        }
        assert!(!model.run(), "queued twice");
    });
}

#[test]
fn two_wakers_queue_once() {
    model(|| {
        let model = Model::new(1);
        assert!(model.run());
        model.block();
        let wakers = [1, 2].map(|cpu| model.spawn(cpu, Model::send_event));
        for waker in wakers {
            waker.join().unwrap();
        }
        assert!(model.run());
        assert!(!model.run(), "queued twice");
    });
}

#[test]
fn a_held_vcpu_has_stopped_and_runs_on_when_released() {
    model(|| {
        let model = Model::new(1);
        assert!(model.run());
        model.was_kicked(0);
        let holder = model.spawn(1, |model| {
            model.sched.hold(&model.vcpu);
            model.sched.wait_stopped(&model.vcpu);
            model.vcpu.touch();
            model.sched.release(&model.vcpu);
        });
        // The guest runs until somebody wants something.
        while !model.vcpu.node().is_held() && !model.was_kicked(0) {
            thread::yield_now();
        }
        model.vcpu.touch();
        model.put();
        let runs = model.run();
        holder.join().unwrap();
        if !runs {
            assert!(model.was_kicked(0), "the CPU sleeps on");
            assert!(model.run(), "the release is lost");
        }
        assert!(!model.run(), "queued twice");
    });
}

#[test]
fn who_is_picked_sees_the_hold_or_is_waited_for() {
    model(|| {
        let model = Model::new(1);
        let holder = model.spawn(1, |model| {
            model.sched.hold(&model.vcpu);
            model.sched.wait_stopped(&model.vcpu);
            model.vcpu.touch();
            model.sched.release(&model.vcpu);
        });
        // As the loop that runs guests does it.
        let entries = Entries::default();
        if let Some(vcpu) = model.sched.pick() {
            entries.enter(CpuId(0));
            if !vcpu.node().is_held() {
                vcpu.touch();
            }
            entries.leave(CpuId(0));
            model.put();
        }
        holder.join().unwrap();
        assert!(model.run(), "the release is lost");
    });
}

#[test]
fn a_vcpu_that_moves_is_woken_once() {
    model(|| {
        let model = Model::new(2);
        assert!(model.run());
        model.block();
        become_cpu(1);
        assert!(!model.run());
        let waker = model.spawn(2, Model::send_event);
        // Here, where nobody runs, it wakes, runs, sleeps, and wakes once more.
        model.send_event();
        if model.run() {
            model.block();
        }
        model.send_event();
        waker.join().unwrap();
        let runs = [0, 1].map(|cpu| {
            become_cpu(cpu);
            u32::from(model.run()) + u32::from(model.run())
        });
        assert_eq!(runs[0] + runs[1], 1, "on {runs:?}");
    });
}

#[test]
fn who_goes_idle_finds_what_is_queued_elsewhere_or_is_told() {
    model(|| {
        let model = Model::new(2);
        assert!(model.run());
        model.block();
        // CPU 0 is busy with another one.
        let other = Vcpu::queued(&model.sched);
        assert!(model.sched.pick() == Some(other));
        let waker = model.spawn(2, Model::send_event);
        become_cpu(1);
        let found = model.run();
        waker.join().unwrap();
        if !found {
            assert!(model.was_kicked(1), "it sleeps while somebody waits");
            assert!(model.run(), "it was told for nothing");
        }
    });
}

#[test]
fn a_confined_vcpu_runs_where_it_may() {
    model(|| {
        let model = Model::new(2);
        assert!(model.run());
        model.block();
        let waker = model.spawn(2, Model::send_event);
        model.sched.set_affinity(&model.vcpu, CpuMask(0b10));
        waker.join().unwrap();
        assert!(!model.run(), "it runs where it may not");
        become_cpu(1);
        assert!(model.run(), "it runs nowhere");
    });
}

impl Model {
    /// Takes CPU 0 out of pool 0; says whether all have left it. Who runs there may have to.
    fn leave(&self) {
        self.sched.leave_pool(PoolId::ZERO, CpuId(0));
        while !self.evacuate() {
            thread::yield_now();
        }
    }

    fn evacuate(&self) -> bool {
        self.sched.evacuate(CpuId(0), core::iter::once(self.vcpu.clone()))
    }

    /// Whether CPU 1 runs it, and CPU 0 does not.
    fn runs_on_the_other(&self) -> bool {
        become_cpu(0);
        assert!(!self.run(), "it runs on a CPU that has left");
        become_cpu(1);
        self.run()
    }
}

#[test]
fn who_is_queued_on_a_cpu_that_leaves_runs_elsewhere() {
    model(|| {
        let model = Model::new(2);
        assert!(model.run());
        model.block();
        let waker = model.spawn(2, Model::send_event);
        become_cpu(1);
        model.leave();
        // A stray may come yet. It is not run, but sent on.
        become_cpu(0);
        assert!(!model.run(), "it runs on a CPU that has left");
        waker.join().unwrap();
        assert!(model.runs_on_the_other(), "it is lost");
    });
}

#[test]
fn who_begins_to_run_on_a_cpu_that_leaves_is_waited_for() {
    bounded(2, || {
        let model = Model::new(2);
        let leaver = model.spawn(1, |model| {
            model.leave();
            // Nobody is left, and nobody comes: this is its context now, as of a CPU of another pool.
            model.vcpu.touch();
        });
        become_cpu(0);
        if model.run() {
            while !model.sched.should_reschedule() {
                thread::yield_now();
            }
            model.vcpu.touch();
            model.put();
        }
        leaver.join().unwrap();
        assert!(model.runs_on_the_other(), "it is lost");
    });
}

#[test]
fn who_changes_pools_while_it_is_woken_runs_in_the_new_one() {
    model(|| {
        let model = Model::new(1);
        model.sched.join_pool(PoolId(1), CpuId(1));
        assert!(model.run());
        model.block();
        let waker = model.spawn(2, Model::send_event);
        // As a domain moves: held, and stopped.
        model.sched.hold(&model.vcpu);
        model.sched.wait_stopped(&model.vcpu);
        model.vcpu.0.pool.store(1, Ordering::SeqCst);
        model.sched.settle(&model.vcpu);
        model.sched.release(&model.vcpu);
        waker.join().unwrap();
        assert!(model.runs_on_the_other(), "it is lost");
    });
}

const BY_CORE: Policy = Policy { sharing: Sharing::ByWeight, granularity: Granularity::Core };

#[test]
fn a_thread_that_rests_finds_its_domains_or_is_told() {
    bounded(2, || {
        let model = Model::with_policy(2, BY_CORE);
        assert!(model.run());
        model.block();
        // The other thread of the core runs the same domain.
        let other = Vcpu::queued(&model.sched);
        assert!(model.sched.pick() == Some(other));
        let waker = model.spawn(2, Model::send_event);
        become_cpu(1);
        let found = model.run();
        waker.join().unwrap();
        if !found {
            assert!(model.was_kicked(1), "it rests while one of its domain waits");
            assert!(model.run(), "it was told for nothing");
        }
    });
}

#[test]
fn threads_never_run_two_domains() {
    bounded(2, || {
        let model = Model::with_policy(2, BY_CORE);
        let other = Vcpu::queued_of(&model.sched, 1);
        let inside: Arc<[AtomicU32; 2]> = Arc::new(core::array::from_fn(|_| AtomicU32::new(0)));
        // What the core runs, as its two threads see it.
        let turn = |model: &Model, inside: &[AtomicU32; 2]| {
            let Some(vcpu) = model.sched.pick() else { return false };
            let domain = vcpu.domain_number() as usize;
            inside[domain].fetch_add(1, Ordering::SeqCst);
            assert_eq!(inside[1 - domain].load(Ordering::SeqCst), 0, "two domains in a core");
            vcpu.touch();
            inside[domain].fetch_sub(1, Ordering::SeqCst);
            vcpu.node().block();
            model.sched.put(vcpu, Nanos::NEVER);
            true
        };
        let thread = {
            let inside = inside.clone();
            model.spawn(1, move |model| {
                turn(model, &inside);
            })
        };
        become_cpu(0);
        turn(&model, &inside);
        thread.join().unwrap();
        // Who has not run yet is found by a thread that looks again.
        for cpu in [0, 1, 0] {
            become_cpu(cpu);
            turn(&model, &inside);
        }
        assert!(model.vcpu.node().is_blocked() && other.node().is_blocked(), "one has not run");
    });
}

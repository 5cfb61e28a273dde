//! `sched-gran=core`: at no time do the threads of one core run two domains.
//!
//! A core has a *tenant*: the domain whose vCPUs its threads may run. While one of them runs, the others run the tenant's
//! or *rest*, whoever waits for them. When the tenant's turn is over and others wait, the core is *closing*: its threads
//! stop one after the other, none starts, and the last one to stop lets in the domain of the vCPU that goes next among
//! all that wait for the core. So the switch of a core is one of all its threads.
//!
//! Who is in is decided under the lock of the core, [`Turn`]: a thread counts as in from before it starts a vCPU until it
//! picks again, when it has put that back. A wake-up takes no such lock. It queues, then looks at who rests; one that
//! rests says so, then looks at the queues.

use alloc::boxed::Box;
use core::mem;

use super::clock::Vtime;
use super::node::SchedNode;
use super::queue::{CpuQueue, Next};
use super::topology::Topology;
use super::{Cpus, MEMORY, SLICE, Schedulable, Scheduler};
use crate::fallible::{self, NoMemory};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::{Class, Lock};
use crate::time::Nanos;

/// A turn is not cut short for one that wakes before it has lasted so long.
const LEAST_TURN: u64 = SLICE / 4;
/// No domain: nobody's vCPUs are wanted.
const NOBODY: u32 = u32::MAX;

/// The cores.
pub(super) struct Cores {
    cores: Box<[Core]>,
    /// Of each CPU, an index into `cores`.
    core_of: Box<[usize]>,
    /// Threads that run nothing because of who is in their core.
    resting: AtomicU64,
}

struct Core {
    threads: CpuMask,
    turn: Lock<Turn>,
    /// The domain whose vCPUs may start now, for whoever queues one.
    welcome: AtomicU32,
    /// Somebody waits here who should go before the tenant.
    hurry: AtomicBool,
}

/// Who is in.
#[derive(Debug)]
struct Turn {
    tenant: u32,
    /// Threads that run its vCPUs.
    inside: CpuMask,
    since: Nanos,
    /// When the turn is over, if others wait.
    end: Nanos,
    closing: bool,
    /// The domain that a thread has been called for, when nobody was in, by one that may not run its vCPU. Clocks are evened
    /// out at every look: without this, two threads could call each other for ever, each for another vCPU.
    promised: u32,
}

/// The vCPU that goes next in a core.
struct Head {
    domain: u32,
    allowed: CpuMask,
    rank: (bool, Vtime),
}

/// A vCPU that has started: until then if somebody waits, until `limit` if nobody does.
struct Started<V> {
    vcpu: V,
    slice_end: Nanos,
    limit: Nanos,
}

impl Cores {
    pub fn new(cpus: usize, topology: &Topology) -> Result<Self, NoMemory> {
        let first = |cpu: usize| topology.core(CpuId(cpu as u32)).iter().next().map_or(cpu, CpuId::index);
        let mut core = 0..;
        let cores = fallible::filled(cpus, || {
            let threads = core.next().map_or(CpuMask(0), |cpu| topology.core(CpuId(cpu)));
            let (since, end) = (Nanos(0), Nanos(0));
            let turn =
                Turn { tenant: NOBODY, inside: CpuMask(0), since, end, closing: false, promised: NOBODY };
            Core {
                threads,
                turn: Lock::new(Class::Turn, turn),
                welcome: AtomicU32::new(NOBODY),
                hurry: AtomicBool::new(false),
            }
        })?;
        let mut cpu = 0..;
        let core_of = fallible::filled(cpus, || cpu.next().map_or(0, first))?;
        Ok(Self {
            cores: cores.into_boxed_slice(),
            core_of: core_of.into_boxed_slice(),
            resting: AtomicU64::new(0),
        })
    }

    fn of(&self, cpu: CpuId) -> Option<&Core> {
        self.cores.get(*self.core_of.get(cpu.index())?)
    }
}

impl<C: Cpus, V: Schedulable> Scheduler<C, V> {
    /// [`pick`](Self::pick) with core scheduling.
    pub(super) fn pick_in_core(&self, cores: &Cores, this: CpuId, cpu: &CpuQueue<V>) -> Option<V> {
        let core = cores.of(this)?;
        let mut turn = core.turn.lock();
        turn.inside.remove(this);
        self.no_longer(&cores.resting, this);
        self.no_longer(&self.idle, this);
        self.balance(this, cpu);
        let now = self.machine.now();
        if core.hurry.swap(false, Ordering::SeqCst) && turn.inside.0 != 0 {
            turn.end = turn.end.min(turn.since + LEAST_TURN);
            turn.inside.iter().for_each(|inside| self.reschedule(inside));
        }
        let mut parked = false;
        let mut next = self.start_in_core(core, &mut turn, this, cpu, now, &mut parked);
        if next.is_none() {
            // Whoever queues something sees that this CPU idles or rests, or has queued it already and it is found now.
            let idles = turn.inside.0 == 0;
            let rested = self.say_so(cores, core, this, idles);
            fence(Ordering::SeqCst);
            // They have not looked for others' work.
            self.call_if_waited_for(rested);
            next = self.start_in_core(core, &mut turn, this, cpu, now, &mut parked);
            if next.is_none() && idles {
                self.call_astray(this);
                if parked {
                    // The other threads may have left others' work alone because of one that was to run here.
                    self.call_if_waited_for(CpuMask(core.threads.0 & !(1 << this.index())));
                }
            }
        }
        match &next {
            Some(started) => self.enter(cores, core, &mut turn, this, started, now),
            None => self.arm(cpu, Nanos::NEVER, now),
        }
        self.call_for_waiting(cores, core, &turn, this, cpu, next.is_some());
        next.map(|started| started.vcpu)
    }

    /// Starts one whose turn it is, from wherever it waits; none if it is nobody's here. `parked` is set if one that waited is
    /// not to run after all: it is held, or its domain's budget is used up.
    fn start_in_core(
        &self,
        core: &Core,
        turn: &mut Turn,
        this: CpuId,
        cpu: &CpuQueue<V>,
        now: Nanos,
        parked: &mut bool,
    ) -> Option<Started<V>> {
        let may_run = |vcpu: &V, node: &SchedNode| self.allowed_by(vcpu, node).contains(this);
        while let Some((vcpu, lag)) = cpu
            .is_waited_for()
            .then(|| cpu.with(|queue| queue.take_stray(now, |vcpu| may_run(vcpu, vcpu.node()))))
            .flatten()
        {
            self.enqueue(vcpu, lag, MEMORY, now);
        }
        loop {
            if turn.inside.0 == 0 {
                turn.closing = false;
                let promised = mem::replace(&mut turn.promised, NOBODY);
                match self.next_in(core) {
                    Some(_) if promised != NOBODY => turn.tenant = promised,
                    Some(next) => turn.tenant = next.domain,
                    None if self.take_any(this, cpu, |_| true) => continue,
                    None => return None,
                }
            } else if turn.closing || now >= turn.end && self.others_wait(core, turn.tenant) {
                self.close(core, turn);
                return None;
            } else if now >= turn.end {
                (turn.since, turn.end) = (now, now + SLICE);
            }
            let tenant = turn.tenant;
            let is_tenants = |vcpu: &V| vcpu.domain_number() == tenant;
            // Those that are held it parks.
            let counts = |vcpu: &V| is_tenants(vcpu) || vcpu.node().is_held();
            let is_waited_for = cpu.is_waited_for();
            let next = cpu.with(|queue| queue.start(this, now, counts, may_run));
            *parked |= next.is_none() && is_waited_for && !cpu.is_waited_for();
            match next {
                Some(Next::Stray { vcpu, lag }) => self.enqueue(vcpu, lag, MEMORY, now),
                Some(Next::Runs { vcpu, slice_end, limit }) => {
                    return Some(Started { vcpu, slice_end, limit });
                }
                None if self.take_in_core(core, this, cpu, is_tenants, now)
                    || self.take_any(this, cpu, is_tenants) => {}
                None if turn.inside.0 != 0 => return None,
                None => {
                    // It may not run on this thread, but on another of the core; or it is parked, and another goes next.
                    if let Some(next) = self.next_in(core)
                        && !next.allowed.contains(this)
                    {
                        turn.promised = next.domain;
                        let there = CpuMask(next.allowed.0 & core.threads.0);
                        there.iter().take(1).for_each(|thread| self.reschedule(thread));
                        return None;
                    }
                }
            }
        }
    }

    /// Who goes next in a core that nobody is in: who is owed time, and of these who is due first.
    fn next_in(&self, core: &Core) -> Option<Head> {
        let threads = core.threads.iter().filter_map(|thread| Some((thread, self.cpus.get(thread.index())?)));
        let heads = threads.filter_map(|(thread, cpu)| {
            // One that may not run there any more is sent away when that thread picks.
            let may_go = |vcpu: &V| {
                let node = vcpu.node();
                !node.is_held() && self.allowed_by(vcpu, node).contains(thread)
            };
            cpu.with(|queue| {
                let (vcpu, allowed, rank) = queue.head(may_go)?;
                Some(Head { domain: vcpu.domain_number(), allowed, rank })
            })
        });
        heads.reduce(|first, next| {
            let is_due = first.rank.1.ahead_of(next.rank.1) > 0;
            let goes_first = if first.rank.0 == next.rank.0 { is_due } else { next.rank.0 };
            if goes_first { next } else { first }
        })
    }

    /// Whether another domain's vCPU waits for one of a core's threads.
    fn others_wait(&self, core: &Core, tenant: u32) -> bool {
        let mut threads = core.threads.iter().filter_map(|thread| self.cpus.get(thread.index()));
        threads.any(|cpu| {
            cpu.is_waited_for() && cpu.with(|queue| queue.has(|vcpu, _| vcpu.domain_number() != tenant))
        })
    }

    /// The tenant's turn is over: its vCPUs stop.
    fn close(&self, core: &Core, turn: &mut Turn) {
        if !turn.closing {
            turn.closing = true;
            core.welcome.store(NOBODY, Ordering::SeqCst);
            turn.inside.iter().for_each(|inside| self.reschedule(inside));
        }
    }

    /// Takes over a vCPU that waits for another thread of the core.
    fn take_in_core(
        &self,
        core: &Core,
        this: CpuId,
        cpu: &CpuQueue<V>,
        who: impl Fn(&V) -> bool,
        now: Nanos,
    ) -> bool {
        let mut others = core.threads.iter().filter(|thread| *thread != this);
        let found = others.find_map(|thread| {
            let other = self.cpus.get(thread.index()).filter(|other| other.helpers().contains(this))?;
            let clock = if cpu.weight() == 0 { other.clock() } else { cpu.clock() };
            let given = other.with(|queue| {
                let given = queue.give(thread, this, clock, i64::MIN, i64::MIN, &who);
                given.inspect(|(vcpu, ..)| self.move_home(vcpu, this))
            });
            given.map(|given| (given, clock))
        });
        let Some(((vcpu, lag), clock)) = found else { return false };
        cpu.with(|queue| {
            queue.follow(clock, lag);
            let allowed = self.allowed(&vcpu);
            queue.admit(vcpu, allowed, lag, MEMORY, now)
        });
        true
    }

    /// Says that this CPU idles, and with it those threads of its core that rest, which it returns; or that it rests.
    fn say_so(&self, cores: &Cores, core: &Core, this: CpuId, idles: bool) -> CpuMask {
        let bit = 1 << this.index();
        if idles {
            core.welcome.store(NOBODY, Ordering::SeqCst);
            let rested = cores.resting.fetch_and(!core.threads.0, Ordering::SeqCst) & core.threads.0;
            self.idle.fetch_or(rested | bit, Ordering::SeqCst);
            CpuMask(rested)
        } else {
            cores.resting.fetch_or(bit, Ordering::SeqCst);
            CpuMask(0)
        }
    }

    /// Makes those of some threads look that may find something to run.
    fn call_if_waited_for(&self, threads: CpuMask) {
        let waits = |cpu: &CpuId| self.cpus.get(cpu.index()).is_some_and(CpuQueue::is_waited_for);
        let finds = |cpu: &CpuId| waits(cpu) || self.overloaded(*cpu).next().is_some();
        threads.iter().filter(finds).for_each(|thread| self.reschedule(thread));
    }

    /// A vCPU has started here: the core is its domain's.
    fn enter(
        &self,
        cores: &Cores,
        core: &Core,
        turn: &mut Turn,
        this: CpuId,
        Started { vcpu, slice_end, limit }: &Started<V>,
        now: Nanos,
    ) {
        debug_assert!(turn.inside.0 == 0 || turn.tenant == vcpu.domain_number(), "two domains in a core");
        let begins = turn.inside.0 == 0;
        turn.tenant = vcpu.domain_number();
        turn.inside.insert(this);
        self.no_longer(&self.idle, this);
        self.no_longer(&cores.resting, this);
        if begins {
            (turn.since, turn.end) = (now, now + SLICE);
            core.welcome.store(turn.tenant, Ordering::SeqCst);
            let idle = self.idle.fetch_and(!core.threads.0, Ordering::SeqCst) & core.threads.0;
            cores.resting.fetch_or(idle, Ordering::SeqCst);
        }
        let Some(cpu) = self.cpus.get(this.index()) else { return };
        let mut is_waited_for = self.call_helpers(this, cpu);
        fence(Ordering::SeqCst);
        if core
            .threads
            .iter()
            .any(|thread| self.cpus.get(thread.index()).is_some_and(CpuQueue::is_waited_for))
        {
            self.no_longer(&self.quiet, this);
            is_waited_for = true;
        }
        let end = if is_waited_for { turn.end.min(*slice_end) } else { *limit };
        cpu.slice_end.store(end.0, Ordering::Relaxed);
        if begins {
            // The other threads may have something of the tenant's to run, too.
            self.call_if_waited_for(CpuMask(core.threads.0 & cores.resting.load(Ordering::SeqCst)));
        }
    }

    /// Somebody waits here: tells who could run it, and sees to it that the tenant's turn has an end.
    fn call_for_waiting(
        &self,
        cores: &Cores,
        core: &Core,
        turn: &Turn,
        this: CpuId,
        cpu: &CpuQueue<V>,
        runs: bool,
    ) {
        if !cpu.is_waited_for() {
            return;
        }
        turn.inside.iter().filter(|inside| *inside != this && self.no_longer(&self.quiet, *inside)).for_each(
            |inside| {
                self.reschedule(inside);
            },
        );
        if !runs
            && let Some(idle) =
                self.take_idle(this, CpuMask(cpu.helpers().0 & !core.threads.0), cpu.helpers())
        {
            self.reschedule(idle);
        }
        self.call_resting(cores, cpu);
    }

    /// Calls the threads that rest and are welcome to run what waits at a CPU.
    fn call_resting(&self, cores: &Cores, cpu: &CpuQueue<V>) {
        let resting = CpuMask(cores.resting.load(Ordering::SeqCst) & cpu.helpers().0);
        for thread in resting.iter() {
            let welcome = cores.of(thread).map_or(NOBODY, |core| core.welcome.load(Ordering::SeqCst));
            let finds =
                |vcpu: &V, allowed: CpuMask| vcpu.domain_number() == welcome && allowed.contains(thread);
            if welcome != NOBODY
                && cpu.with(|queue| queue.has(finds))
                && self.no_longer(&cores.resting, thread)
            {
                self.reschedule(thread);
            }
        }
    }

    /// A CPU whose queue is empty shows the time of its core's other threads: who comes is neither owed nor in debt.
    #[cold]
    pub(super) fn keep_in_step(&self, cores: &Cores, target: CpuId, cpu: &CpuQueue<V>) {
        let Some(core) = cores.of(target).filter(|_| cpu.weight() == 0) else { return };
        let others = core.threads.iter().filter(|thread| *thread != target);
        let others =
            others.filter_map(|thread| self.cpus.get(thread.index())).filter(|cpu| cpu.weight() != 0);
        let last = others.map(CpuQueue::clock).reduce(|a, b| if a.ahead_of(b) > 0 { a } else { b });
        if let Some(clock) = last {
            cpu.with(|queue| queue.follow(clock, 0));
        }
    }

    /// A vCPU of a domain has been queued at a CPU.
    #[cold]
    pub(super) fn tell_core(&self, domain: u32, target: CpuId, cpu: &CpuQueue<V>, goes_first: bool) {
        let Some(cores) = &self.cores else { return };
        let Some(core) = cores.of(target) else { return };
        if goes_first && core.welcome.load(Ordering::SeqCst) != domain {
            core.hurry.store(true, Ordering::SeqCst);
            self.reschedule(target);
        }
        for thread in core.threads.iter().filter(|thread| *thread != target) {
            if self.no_longer(&self.quiet, thread) {
                self.reschedule(thread);
            }
        }
        self.call_resting(cores, cpu);
    }
}

//! Calls of the scheduler in any order, from any CPU: nothing is lost.

use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::few_cases;
use super::sim::{Job, MS, Machine, SECOND, Sim};
use crate::ids::{CpuId, PoolId};
use crate::machine::CpuMask;
use crate::sched::{Budget, Cpus};
use crate::time::Nanos;

const CPUS: u32 = 3;
pub const VCPUS: usize = 5;
const POOLS: u32 = 2;

#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// The CPU goes on until its next call of the scheduler.
    Step,
    /// The vCPU that runs there waits for an event, perhaps with a timer.
    Block(Option<u64>),
    Yield,
    Wake(usize),
    Hold(usize),
    Release(usize),
    Confine(usize, u64),
    Weigh(usize, u32),
    /// Of the first two vCPUs' domain.
    Cap(u16),
    Pass(u64),
    /// The CPU leaves its pool, if that has another.
    Leave,
    /// The CPU joins a pool, if it is in none and everybody has left it.
    Join(PoolId),
    /// A vCPU changes pools, if the new one has CPUs.
    Change(usize, PoolId),
}

pub fn ops(cpus: u32) -> impl Strategy<Value = Vec<(u32, Op)>> {
    let vcpu = || 0..VCPUS;
    let pool = || (0..POOLS).prop_map(PoolId);
    let op = prop_oneof![
        6 => Just(Op::Step),
        2 => prop::option::of(1..5 * MS).prop_map(Op::Block),
        1 => Just(Op::Yield),
        3 => vcpu().prop_map(Op::Wake),
        1 => vcpu().prop_map(Op::Hold),
        1 => vcpu().prop_map(Op::Release),
        1 => (vcpu(), 1..1u64 << cpus).prop_map(|(vcpu, cpus)| Op::Confine(vcpu, cpus)),
        1 => (vcpu(), 1u32..1000).prop_map(|(vcpu, weight)| Op::Weigh(vcpu, weight)),
        1 => prop_oneof![Just(0), 1u16..100].prop_map(Op::Cap),
        2 => (1..3 * MS).prop_map(Op::Pass),
        1 => Just(Op::Leave),
        2 => pool().prop_map(Op::Join),
        1 => (vcpu(), pool()).prop_map(|(vcpu, pool)| Op::Change(vcpu, pool)),
    ];
    prop::collection::vec((0..cpus, op), 1..120)
}

pub fn apply(sim: &mut Sim, holds: &mut [u32], budget: &Budget, op: Op) {
    let running = sim.running(sim.machine.this_cpu()).cloned();
    match op {
        Op::Step => drop(sim.step(sim.machine.this_cpu())),
        Op::Block(timer) => {
            if let Some(vcpu) = running {
                vcpu.alarm.set(timer.map_or(Nanos::NEVER, |ns| Nanos(sim.now() + ns)));
                vcpu.node.block();
            }
        }
        Op::Yield => {
            if let Some(vcpu) = running {
                sim.sched.yield_now(&vcpu);
            }
        }
        Op::Wake(i) => {
            sim.vcpus[i].post();
            sim.sched.wake(&sim.vcpus[i]);
        }
        Op::Hold(i) => {
            holds[i] += 1;
            sim.sched.hold(&sim.vcpus[i]);
        }
        Op::Release(i) if holds[i] > 0 => {
            holds[i] -= 1;
            sim.sched.release(&sim.vcpus[i]);
        }
        Op::Release(_) => {}
        Op::Confine(i, cpus) if sim.sched.pool_cpus(sim.vcpus[i].pool.get()).0 & cpus != 0 => {
            sim.sched.set_affinity(&sim.vcpus[i], CpuMask(cpus));
        }
        Op::Confine(..) => {}
        Op::Weigh(i, weight) => sim.sched.set_weight(&sim.vcpus[i], weight),
        Op::Cap(percent) => {
            budget.set_cap(percent);
            sim.vcpus.iter().take(2).for_each(|vcpu| sim.sched.look_again(vcpu));
        }
        Op::Pass(ns) => {
            // CPUs that are in the hypervisor do not stay there for as long.
            sim.settle();
            sim.run_until(sim.now() + ns);
        }
        Op::Leave => {
            let cpu = sim.machine.this_cpu();
            if let Some(pool) = pool_of(sim, cpu)
                && sim.sched.pool_cpus(pool).0.count_ones() > 1
            {
                sim.sched.leave_pool(pool, cpu);
                let left = sim.sched.pool_cpus(pool).0;
                let in_pool = sim.vcpus.iter().filter(|vcpu| vcpu.pool.get() == pool);
                in_pool
                    .filter(|vcpu| vcpu.node.affinity().0 & left == 0)
                    .for_each(|vcpu| sim.sched.set_affinity(vcpu, CpuMask(u64::MAX)));
                sim.sched.evacuate(cpu, sim.vcpus.iter().cloned());
            }
        }
        Op::Join(pool) => {
            let cpu = sim.machine.this_cpu();
            if pool_of(sim, cpu).is_none() && sim.sched.evacuate(cpu, sim.vcpus.iter().cloned()) {
                sim.sched.join_pool(pool, cpu);
            }
        }
        Op::Change(i, pool) if sim.sched.pool_cpus(pool).0 != 0 => {
            let (this, vcpu) = (sim.machine.this_cpu(), sim.vcpus[i].clone());
            sim.sched.hold(&vcpu);
            sim.settle();
            sim.only_on(this, |sim| {
                vcpu.pool.set(pool);
                sim.sched.set_affinity(&vcpu, CpuMask(u64::MAX));
                sim.sched.release(&vcpu);
            });
        }
        Op::Change(..) => {}
    }
}

fn pool_of(sim: &Sim, cpu: CpuId) -> Option<PoolId> {
    (0..POOLS).map(PoolId).find(|pool| sim.sched.pool_cpus(*pool).contains(cpu))
}

/// After any calls, with every hold released: only CPUs that were kicked, or are in the hypervisor anyway, look again.
/// Every event is seen, every vCPU that is not blocked runs, and none where it must not: outside its affinity or its pool.
pub fn every_event_is_seen(sim: &mut Sim<'_>, holds: [u32; VCPUS]) -> Result<(), TestCaseError> {
    for (i, holds) in holds.into_iter().enumerate() {
        (0..holds).for_each(|_| sim.only_on(CpuId(0), |sim| sim.sched.release(&sim.vcpus[i])));
    }
    sim.settle();
    sim.run_until(sim.now() + 100 * MS);
    let start = sim.now();
    let before: Vec<u64> = sim.vcpus.iter().map(|vcpu| vcpu.ran(start)).collect();
    sim.run_until(start + 20 * SECOND);
    for (i, (vcpu, before)) in sim.vcpus.iter().zip(before).enumerate() {
        let ran = vcpu.ran(sim.now()) > before;
        prop_assert!(ran != vcpu.node.is_blocked(), "vCPU {i}: {:?}", vcpu.node);
        prop_assert!(!vcpu.has_event(), "vCPU {i} has not seen an event");
    }
    for cpu in (0..sim.machine.cpus()).map(CpuId) {
        let stray = sim.running(cpu).is_some_and(|vcpu| !sim.sched.allowed(vcpu).contains(cpu));
        prop_assert!(!stray, "{cpu} runs one that may not run there");
        let deserted = pool_of(sim, cpu).is_some() || sim.sched.is_deserted(cpu);
        prop_assert!(deserted, "{cpu} is in no pool, and somebody waits there");
    }
    Ok(())
}

proptest! {
    #![proptest_config(few_cases(256))]

    #[test]
    fn no_wake_up_is_lost(ops in ops(CPUS)) {
        let machine = Machine::new(CPUS);
        let mut sim = Sim::new(&machine);
        let budget = Rc::new(Budget::default());
        let mut holds = [0; VCPUS];
        for i in 0..VCPUS {
            let budget = if i < 2 { budget.clone() } else { Rc::default() };
            sim.add_to(budget, Job::Compute, 256, CpuMask(u64::MAX));
        }
        for (cpu, op) in ops {
            sim.only_on(CpuId(cpu), |sim| apply(sim, &mut holds, &budget, op));
        }
        every_event_is_seen(&mut sim, holds)?;
    }
}

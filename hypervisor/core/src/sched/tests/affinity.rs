//! Where vCPUs run: what they wish for, and what is near.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::few_cases;
use super::sim::{Job, MS, Machine, SECOND, Sim, Vcpu};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sched::Cpus;

const ANYWHERE: CpuMask = CpuMask(u64::MAX);

fn wish(sim: &mut Sim<'_>, vcpu: &Vcpu, cpus: u64) {
    sim.on(CpuId(0), |sim| sim.sched.set_soft_affinity(vcpu, CpuMask(cpus)));
}

/// The CPU that it runs on.
fn cpu_of(sim: &Sim<'_>, vcpu: &Vcpu) -> Option<u32> {
    (0..sim.machine.cpus()).find(|cpu| sim.running(CpuId(*cpu)) == Some(vcpu))
}

fn cpus(n: u32) -> Machine {
    Machine::new(n)
}

#[test]
fn one_that_runs_elsewhere_moves_when_it_may_have_its_wish() {
    let machine = cpus(4);
    let mut sim = Sim::new(&machine);
    let vcpu = sim.add(Job::Compute, 256, ANYWHERE);
    for cpu in [3, 1, 2, 0] {
        wish(&mut sim, &vcpu, 1 << cpu);
        assert_eq!(cpu_of(&sim, &vcpu), Some(cpu));
    }
    // What it may not have is no wish.
    sim.on(CpuId(0), |sim| sim.sched.set_affinity(&vcpu, CpuMask(0b110)));
    wish(&mut sim, &vcpu, 0b1001);
    assert!(cpu_of(&sim, &vcpu).is_some_and(|cpu| cpu == 1 || cpu == 2));
    let before = machine.interrupts(CpuId(1)) + machine.interrupts(CpuId(2));
    sim.run_until(SECOND);
    assert_eq!(machine.interrupts(CpuId(1)) + machine.interrupts(CpuId(2)), before, "it is left alone");
}

/// Nobody looks for a better place for those that compute; the CPU that becomes free does.
#[test]
fn a_cpu_that_goes_idle_calls_who_wishes_for_it() {
    let machine = cpus(2);
    let mut sim = Sim::new(&machine);
    let first = sim.add(Job::Compute, 256, CpuMask(1));
    let vcpu = sim.add(Job::Compute, 256, ANYWHERE);
    wish(&mut sim, &vcpu, 1);
    sim.run_until(10 * MS);
    assert_eq!(cpu_of(&sim, &vcpu), Some(1), "it does not wait while a CPU idles");
    sim.on(CpuId(0), |sim| sim.sched.hold(&first));
    sim.run_until(11 * MS);
    assert_eq!(cpu_of(&sim, &vcpu), Some(0));
}

#[test]
fn a_wake_up_goes_where_it_is_wished() {
    let machine = cpus(4);
    let mut sim = Sim::new(&machine);
    let sleeper = sim.add(Job::Sleep { burst: MS / 10, pause: MS }, 256, ANYWHERE);
    wish(&mut sim, &sleeper, 0b1000);
    sim.run_until(20 * MS);
    let start = sleeper.ran(sim.now());
    sim.run_until(SECOND);
    let ran = sleeper.ran(SECOND) - start;
    assert!(ran > 50 * MS && sleeper.ran_on(CpuMask(0b111)) <= start);
    // Its CPU is busy: another will do, and the latency is none.
    let busy = sim.add(Job::Compute, 256, CpuMask(0b1000));
    let before = sleeper.ran_on(ANYWHERE);
    sim.run_until(2 * SECOND);
    assert!(sleeper.ran_on(ANYWHERE) - before > 80 * MS);
    assert!(busy.ran(sim.now()) > 990 * MS, "nor is the other disturbed");
}

/// More vCPUs than CPUs, each wishing for one half of them.
#[test]
fn those_that_wait_stay_where_they_wish_to_be() {
    let machine = cpus(4);
    let mut sim = Sim::new(&machine);
    for i in 0..12 {
        let vcpu = sim.add(Job::Compute, 256, ANYWHERE);
        wish(&mut sim, &vcpu, if i % 2 == 0 { 0b0011 } else { 0b1100 });
    }
    sim.run_until(SECOND);
    for (i, vcpu) in sim.vcpus.iter().enumerate() {
        let there = vcpu.ran_on(CpuMask(if i % 2 == 0 { 0b0011 } else { 0b1100 }));
        let ran = vcpu.ran(SECOND);
        assert!(there * 100 >= ran * 95, "vCPU {i}: {there} of {ran}");
        assert!(ran.abs_diff(SECOND / 3) <= 10 * MS, "vCPU {i}: {ran}");
    }
}

#[test]
fn of_those_that_wait_who_goes_gladly_is_taken() {
    let machine = cpus(2);
    let mut sim = Sim::new(&machine);
    sim.add(Job::Compute, 256, CpuMask(0b10));
    let stay = [0, 1].map(|_| sim.add(Job::Compute, 256, ANYWHERE));
    stay.iter().for_each(|vcpu| wish(&mut sim, vcpu, 0b01));
    let goes = sim.add(Job::Compute, 256, ANYWHERE);
    sim.run_until(SECOND);
    assert!(stay.iter().all(|vcpu| vcpu.ran_on(CpuMask(0b01)) > 480 * MS));
    assert!(goes.ran_on(CpuMask(0b10)) > 480 * MS);
}

#[test]
fn whole_cores_before_siblings_and_near_before_far() {
    // Two caches with two cores of two threads each.
    let machine = Machine::with_shape(8, 2, 4);
    let mut sim = Sim::new(&machine);
    let vcpus: Vec<_> = (0..4).map(|_| sim.add(Job::Compute, 256, ANYWHERE)).collect();
    for core in 0..4 {
        let busy = (0..2).filter(|thread| sim.running(CpuId(2 * core + thread)).is_some()).count();
        assert_eq!((busy, vcpus.len()), (1, 4), "core {core}");
    }
    // One waits behind another on CPU 0, and goes to where a core is free: best under the same cache.
    for (frees, goes_to) in [(vec![1, 3], 1), (vec![3], 3)] {
        let mut sim = Sim::new(&machine);
        for core in 0..4 {
            sim.add(Job::Compute, 256, CpuMask(0b11 << (2 * core)));
        }
        let one = sim.add(Job::Sleep { burst: MS, pause: MS }, 256, CpuMask(1));
        let end = sim.now() + 10 * MS;
        sim.run_until(end);
        frees.iter().for_each(|core| {
            let vcpu = sim.vcpus[*core].clone();
            sim.on(CpuId(0), |sim| sim.sched.hold(&vcpu));
        });
        sim.on(CpuId(0), |sim| sim.sched.set_affinity(&one, ANYWHERE));
        let end = sim.now() + 3 * MS;
        sim.run_until(end);
        assert_eq!(one.node.home().0 / 2, goes_to as u32, "{frees:?}");
    }
}

proptest! {
    #![proptest_config(few_cases(24))]

    /// Wishes never keep a vCPU waiting while a CPU idles (the simulator looks all the time).
    #[test]
    fn wishes_keep_nobody_waiting(
        (cpus, threads) in (1u32..=8, 1u32..=2),
        vcpus in prop::collection::vec((any::<u64>(), 1u64..256, any::<bool>(), 1..4 * MS), 1..16),
        later in prop::collection::vec((0usize..16, any::<u64>()), 0..8),
    ) {
        let machine = Machine::with_shape(cpus, threads, 4);
        let mut sim = Sim::new(&machine);
        for (soft, hard, computes, burst) in vcpus {
            let hard = CpuMask(if hard & ((1 << cpus) - 1) == 0 { u64::MAX } else { hard });
            let job = if computes { Job::Compute } else { Job::Sleep { burst, pause: MS } };
            let vcpu = sim.add(job, 256, hard);
            wish(&mut sim, &vcpu, soft);
        }
        for (vcpu, soft) in later {
            let end = sim.now() + 20 * MS;
            sim.run_until(end);
            let vcpu = sim.vcpus[vcpu % sim.vcpus.len()].clone();
            wish(&mut sim, &vcpu, soft);
        }
        let end = sim.now() + 100 * MS;
        sim.run_until(end);
    }
}

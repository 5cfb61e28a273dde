//! `sched=null`.

use std::rc::Rc;
use std::vec::Vec;

use super::sim::{Job, MS, Machine, SECOND, Sim, Vcpu};
use crate::ids::{CpuId, PoolId};
use crate::machine::CpuMask;
use crate::sched::{Granularity, Policy, Seat, Sharing};

const ANYWHERE: CpuMask = CpuMask(u64::MAX);
const NULL: Policy = Policy { sharing: Sharing::OneToOne, granularity: Granularity::Cpu };

fn go_offline(sim: &mut Sim<'_>, vcpu: &Vcpu) {
    sim.on(CpuId(0), |sim| {
        sim.sched.hold(vcpu);
        sim.sched.take_seat(vcpu);
    });
}

fn come_online(sim: &mut Sim<'_>, vcpu: &Vcpu) -> Seat {
    sim.on(CpuId(0), |sim| {
        let seat = sim.sched.give_seat(vcpu);
        sim.sched.release(vcpu);
        seat
    })
}

#[test]
fn each_has_a_cpu_and_the_rest_wait_for_one() {
    let machine = Machine::new(3);
    let mut sim = Sim::with_policy(&machine, NULL);
    let vcpus: Vec<_> = (0..5).map(|_| sim.add(Job::Compute, 256, ANYWHERE)).collect();
    sim.run_until(10 * MS);
    let before: u32 = (0..3).map(|cpu| machine.interrupts(CpuId(cpu))).sum();
    sim.run_until(SECOND);
    assert_eq!(before, (0..3).map(|cpu| machine.interrupts(CpuId(cpu))).sum(), "no ticks, no slices");
    assert!(vcpus[..3].iter().all(|vcpu| vcpu.ran(SECOND) > 990 * MS));
    assert!(vcpus[3..].iter().all(|vcpu| vcpu.ran(SECOND) == 0));
    // The first in line gets what becomes free, and who comes back is the last.
    let freed = vcpus[1].node.home();
    go_offline(&mut sim, &vcpus[1]);
    assert!(sim.sched.allowed(&vcpus[3]) == CpuMask(1 << freed.0));
    assert_eq!(come_online(&mut sim, &vcpus[1]), Seat::Wanted);
    sim.run_until(2 * SECOND);
    assert!(vcpus[3].ran(sim.now()) == SECOND && vcpus[1].ran(sim.now()) == SECOND);
    go_offline(&mut sim, &vcpus[0]);
    go_offline(&mut sim, &vcpus[2]);
    sim.run_until(3 * SECOND);
    assert!([1, 3, 4].iter().all(|i| sim.running(vcpus[*i].node.home()) == Some(&vcpus[*i])));
    assert_eq!(vcpus[1].ran(sim.now()), 2 * SECOND);
}

/// A CPU that leaves the pool, or goes offline, is nobody's seat; one that comes is the next one's.
#[test]
fn seats_go_and_come_with_cpus() {
    let machine = Machine::new(3);
    let mut sim = Sim::with_policy(&machine, NULL);
    let vcpus: Vec<_> = (0..3).map(|_| sim.add(Job::Compute, 256, ANYWHERE)).collect();
    sim.run_until(SECOND);
    let at = |sim: &Sim<'_>, cpu: u32| {
        sim.running(CpuId(cpu)).and_then(|ran| vcpus.iter().position(|vcpu| vcpu == ran))
    };
    let last = at(&sim, 2).expect("all run");
    let leave = |sim: &mut Sim<'_>| sim.sched.leave_pool(PoolId::ZERO, CpuId(2));
    sim.on(CpuId(0), leave);
    while !sim.on(CpuId(0), |sim| sim.sched.evacuate(CpuId(2), sim.vcpus.iter().cloned())) {
        sim.settle();
    }
    sim.run_until(2 * SECOND);
    assert!(at(&sim, 2).is_none() && at(&sim, 0).is_some() && at(&sim, 1).is_some());
    assert!(vcpus[last].ran(2 * SECOND) <= SECOND + MS, "nobody runs beside another");
    // One who leaves makes room for it.
    let gone = at(&sim, 1).expect("it runs");
    go_offline(&mut sim, &vcpus[gone]);
    sim.run_until(3 * SECOND);
    assert_eq!(at(&sim, 1), Some(last));
    assert_eq!(come_online(&mut sim, &vcpus[gone]), Seat::Wanted);
    sim.on(CpuId(0), |sim| sim.sched.join_pool(PoolId::ZERO, CpuId(2)));
    sim.run_until(4 * SECOND);
    assert_eq!(at(&sim, 2), Some(gone));
}

#[test]
fn one_that_sleeps_wakes_on_its_own_cpu_at_once() {
    let machine = Machine::new(2);
    let mut sim = Sim::with_policy(&machine, NULL);
    let sleeper = sim.add(Job::Sleep { burst: MS / 10, pause: MS }, 256, ANYWHERE);
    sim.add(Job::Compute, 256, ANYWHERE);
    sim.interrupt_at(SECOND / 2 + 1234, 0);
    sim.run_until(SECOND);
    assert!(sleeper.latencies.borrow().len() > 900);
    assert!(sleeper.latencies.borrow().iter().all(|latency| *latency == 0));
    assert_eq!(sleeper.ran_on(CpuMask(1 << sleeper.node.home().0)), sleeper.ran(SECOND));
}

#[test]
fn seats_follow_affinities() {
    let machine = Machine::new(2);
    let mut sim = Sim::with_policy(&machine, NULL);
    let one = sim.add(Job::Compute, 256, CpuMask(0b10));
    let two = sim.add(Job::Compute, 256, CpuMask(0b10));
    sim.run_until(MS);
    assert!(sim.running(CpuId(1)) == Some(&one) && sim.running(CpuId(0)).is_none());
    // The other gets out of its way, then it gets a CPU that nobody has.
    sim.on(CpuId(0), |sim| sim.sched.set_affinity(&one, CpuMask(0b01)));
    assert!(sim.running(CpuId(0)) == Some(&one) && sim.running(CpuId(1)) == Some(&two));
    sim.on(CpuId(0), |sim| sim.sched.set_affinity(&one, CpuMask(0b10)));
    assert!(sim.running(CpuId(0)).is_none() && sim.running(CpuId(1)) == Some(&two), "none is free for it");
    sim.on(CpuId(0), |sim| sim.sched.set_affinity(&one, ANYWHERE));
    assert!(sim.running(CpuId(0)) == Some(&one));
    // Gone for good.
    sim.on(CpuId(0), |sim| sim.sched.hold(&two));
    sim.on(CpuId(0), |sim| sim.sched.forget(&two));
    sim.on(CpuId(0), |sim| sim.sched.set_affinity(&one, CpuMask(0b10)));
    assert!(sim.running(CpuId(1)) == Some(&one));
}

#[test]
fn a_core_has_seats_for_one_domain() {
    let machine = Machine::with_shape(4, 2, 4);
    let policy = Policy { granularity: Granularity::Core, ..NULL };
    let mut sim = Sim::with_policy(&machine, policy);
    let mut add = |domain| sim.add_of(domain, Rc::default(), Job::Compute, 256, ANYWHERE);
    let vcpus = [add(1), add(2), add(3), add(2), add(1)];
    sim.run_until(SECOND);
    let ran: Vec<_> = vcpus.iter().map(|vcpu| vcpu.ran(SECOND) > 990 * MS).collect();
    assert_eq!(ran, [true, true, false, true, true]);
}

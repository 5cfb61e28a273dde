//! `sched=null`.

use std::rc::Rc;
use std::vec::Vec;

use super::sim::{Job, MS, Machine, SECOND, Sim, Vcpu};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sched::{Granularity, Policy, Seat, Sharing};

const ANYWHERE: CpuMask = CpuMask(u64::MAX);
const NULL: Policy = Policy { sharing: Sharing::OneToOne, granularity: Granularity::Cpu };

fn go_offline(sim: &mut Sim<'_>, vcpu: &Vcpu) -> Option<(Vcpu, CpuId)> {
    sim.on(CpuId(0), |sim| {
        sim.sched.hold(vcpu);
        sim.sched.take_seat(vcpu)
    })
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
    let next = go_offline(&mut sim, &vcpus[1]);
    assert!(next.is_some_and(|(next, cpu)| next == vcpus[3] && cpu == vcpus[1].node.home()));
    assert_eq!(come_online(&mut sim, &vcpus[1]), Seat::Wanted);
    sim.run_until(2 * SECOND);
    assert!(vcpus[3].ran(sim.now()) == SECOND && vcpus[1].ran(sim.now()) == SECOND);
    assert!(go_offline(&mut sim, &vcpus[0]).is_some_and(|(next, _)| next == vcpus[4]));
    assert!(go_offline(&mut sim, &vcpus[2]).is_some_and(|(next, _)| next == vcpus[1]));
    sim.run_until(3 * SECOND);
    assert!([1, 3, 4].iter().all(|i| {
        vcpus[*i].node.state()
            == sim
                .running(vcpus[*i].node.home())
                .map_or(crate::sched::State::Parked, |_| crate::sched::State::Running(vcpus[*i].node.home()))
    }));
    assert_eq!(vcpus[1].ran(sim.now()), 2 * SECOND);
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

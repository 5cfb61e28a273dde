//! `sched-gran=core`. The simulator looks at every step whether the threads of a core run one domain, and whether somebody
//! waits that an idle thread may run.

use std::rc::Rc;
use std::vec::Vec;

use proptest::prelude::*;

use super::few_cases;
use super::sim::{Job, MS, Machine, SECOND, Sim, Vcpu};
use super::wakeups::{VCPUS, apply, every_event_is_seen, ops};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sched::{Budget, Granularity, Policy, Sharing};

const ANYWHERE: CpuMask = CpuMask(u64::MAX);
const BY_CORE: Policy = Policy { sharing: Sharing::ByWeight, granularity: Granularity::Core };

/// Computing domains of so many vCPUs each, of some weight.
fn domains<'a>(machine: &'a Machine, domains: &[(usize, u32)]) -> (Sim<'a>, Vec<Vec<Vcpu>>) {
    let mut sim = Sim::with_policy(machine, BY_CORE);
    let mut all = Vec::new();
    for (i, (vcpus, weight)) in domains.iter().enumerate() {
        let mut add = || sim.add_of(i as u32, Rc::default(), Job::Compute, *weight, ANYWHERE);
        all.push((0..*vcpus).map(|_| add()).collect());
    }
    (sim, all)
}

fn shares(sim: &mut Sim<'_>, domains: &[Vec<Vcpu>], start: u64, length: u64) -> Vec<Vec<f64>> {
    sim.run_until(start);
    let ran = |now| -> Vec<Vec<u64>> {
        domains.iter().map(|vcpus| vcpus.iter().map(|vcpu| vcpu.ran(now)).collect()).collect()
    };
    let before = ran(start);
    sim.run_until(start + length);
    let after = ran(start + length);
    let share = |(after, before): (&u64, &u64)| (after - before) as f64 / length as f64;
    after.iter().zip(&before).map(|(after, before)| after.iter().zip(before).map(share).collect()).collect()
}

/// Domains that fill whole cores share them as single vCPUs share CPUs.
#[test]
fn cores_are_shared_by_weight() {
    for (cores, set, expected) in [
        (1, &[(2, 256), (2, 256)][..], &[0.5, 0.5][..]),
        (1, &[(2, 256), (2, 768)], &[0.25, 0.75]),
        (1, &[(2, 256), (2, 256), (2, 256)], &[1.0 / 3.0; 3]),
        // A domain of one vCPU leaves the other thread idle in its turn.
        (1, &[(1, 256), (1, 256)], &[0.5, 0.5]),
        (1, &[(1, 256), (2, 256)], &[0.5, 0.5]),
        (2, &[(2, 256), (2, 256)], &[1.0, 1.0]),
        (2, &[(2, 256), (2, 256), (2, 256), (2, 256)], &[0.5; 4]),
        (4, &[(2, 256); 8], &[0.5; 8]),
    ] {
        let machine = Machine::with_shape(2 * cores, 2, 2 * cores);
        let (mut sim, vcpus) = domains(&machine, set);
        let got = shares(&mut sim, &vcpus, SECOND, SECOND);
        for (domain, expected) in got.iter().zip(expected) {
            for share in domain {
                let off = (share - expected).abs();
                assert!(off <= 0.05 * expected + 0.01, "{cores} cores, {set:?}: {got:?}");
            }
        }
    }
}

/// What does not fit together leaves threads idle: still, nobody starves.
#[test]
fn nobody_starves() {
    for (cores, set) in [
        (1, &[(3, 256), (1, 256)][..]),
        (2, &[(1, 256), (2, 256), (3, 256)]),
        (2, &[(2, 256), (2, 256), (2, 256)]),
        (2, &[(1, 256); 7]),
        (4, &[(3, 256), (5, 256), (1, 256), (2, 512), (4, 128)]),
    ] {
        let machine = Machine::with_shape(2 * cores, 2, 4);
        let (mut sim, vcpus) = domains(&machine, set);
        let weights = set.iter().map(|(vcpus, weight)| *vcpus as f64 * f64::from(*weight)).sum::<f64>();
        let got = shares(&mut sim, &vcpus, SECOND, 2 * SECOND);
        for (domain, (_, weight)) in got.iter().zip(set) {
            // Of the cores, as if each ran one thread only.
            let least = (f64::from(cores) * f64::from(*weight) / weights).min(1.0);
            assert!(
                domain.iter().all(|share| *share >= 0.9 * least),
                "{cores} cores, {set:?}: {least} of {got:?}"
            );
        }
    }
}

#[test]
fn one_that_wakes_does_not_wait_for_the_turns_end() {
    let machine = Machine::with_shape(2, 2, 2);
    let (mut sim, _) = domains(&machine, &[(2, 256), (2, 256)]);
    let sleeper = sim.add_of(7, Rc::default(), Job::Sleep { burst: MS / 10, pause: 10 * MS }, 256, ANYWHERE);
    sim.run_until(3 * SECOND);
    let mut all = sleeper.latencies.borrow().clone();
    all.sort_unstable();
    assert!(all.len() > 200);
    assert!(all[all.len() * 99 / 100] <= 3 * MS, "{:?}", all.last());
}

#[test]
fn a_core_alone_has_no_tick() {
    let machine = Machine::with_shape(4, 2, 4);
    let (mut sim, vcpus) = domains(&machine, &[(2, 256), (1, 256)]);
    sim.run_until(SECOND);
    let interrupts = || (0..4).map(|cpu| machine.interrupts(CpuId(cpu))).sum::<u32>();
    let before = interrupts();
    sim.run_until(2 * SECOND);
    assert_eq!(interrupts(), before);
    assert!(vcpus.iter().flatten().all(|vcpu| vcpu.ran(2 * SECOND) > 1990 * MS));
}

proptest! {
    #![proptest_config(few_cases(12))]

    /// As with whole CPUs: no event is lost, nobody is stuck; and at no step do two domains share a core.
    #[test]
    fn no_wake_up_is_lost(ops in ops(4)) {
        let machine = Machine::with_shape(4, 2, 4);
        let mut sim = Sim::with_policy(&machine, BY_CORE);
        let budget = Rc::new(Budget::default());
        for i in 0..VCPUS {
            let budget = if i < 2 { budget.clone() } else { Rc::default() };
            sim.add_of(i as u32 / 2, budget, Job::Compute, 256, ANYWHERE);
        }
        let mut holds = [0; VCPUS];
        for (cpu, op) in ops {
            sim.only_on(CpuId(cpu), |sim| apply(sim, &mut holds, &budget, op));
        }
        every_event_is_seen(&mut sim, holds)?;
    }

    /// Sleepers and others, of domains of any size.
    #[test]
    fn no_core_is_shared(
        cores in 1u32..=4,
        threads in 1u32..=4,
        vcpus in prop::collection::vec((0u32..5, any::<bool>(), MS / 20..4 * MS, MS / 20..4 * MS, 1u64..256), 1..20),
    ) {
        let cpus = cores * threads;
        let machine = Machine::with_shape(cpus, threads, cpus);
        let mut sim = Sim::with_policy(&machine, BY_CORE);
        for (domain, computes, burst, pause, hard) in vcpus {
            let job = if computes { Job::Compute } else { Job::Sleep { burst, pause } };
            let hard = if hard & ((1 << cpus) - 1) == 0 { ANYWHERE } else { CpuMask(hard) };
            sim.add_of(domain, Rc::default(), job, 256, hard);
        }
        sim.run_until(SECOND / 2);
        let before: Vec<u64> = sim.vcpus.iter().map(|vcpu| vcpu.ran(SECOND / 2)).collect();
        sim.run_until(SECOND);
        for (i, (vcpu, before)) in sim.vcpus.iter().zip(before).enumerate() {
            prop_assert!(vcpu.ran(SECOND) > before, "vCPU {i} is stuck: {:?}", vcpu.node);
        }
    }
}

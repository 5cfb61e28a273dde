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

fn budget(cap: u16) -> Rc<Budget> {
    let budget = Rc::new(Budget::default());
    budget.set_cap(cap);
    budget
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

/// vCPUs of capped domains: each domain's cap (0 for none); and of each vCPU its domain, how it sleeps (it computes if it does
/// not) and where it may run.
type Set<'a> = (&'a [u16], &'a [(u32, Option<(u64, u64)>, u64)]);

fn capped<'a>(machine: &'a Machine, policy: Policy, (caps, vcpus): Set<'_>) -> Sim<'a> {
    let mut sim = Sim::with_policy(machine, policy);
    let budgets: Vec<_> = caps.iter().map(|cap| budget(*cap)).collect();
    for (domain, sleeps, cpus) in vcpus {
        let job = sleeps.map_or(Job::Compute, |(burst, pause)| Job::Sleep { burst, pause });
        sim.add_of(*domain, budgets[*domain as usize].clone(), job, 256, CpuMask(*cpus));
    }
    sim
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

/// Whoever is turned away for want of budget leaves its core to others at once, and who was called for work and finds its own
/// passes the call on.
#[test]
fn a_cap_leaves_no_cpu_idle() {
    let cases: [(u32, u32, Set<'_>); 4] = [
        (
            2,
            4,
            (
                &[111, 76, 0, 0, 13],
                &[
                    (4, Some((1586770, 2594764)), 26),
                    (0, Some((1444025, 3204628)), 28),
                    (2, Some((2487460, 251084)), 174),
                    (1, Some((3357697, 1692310)), 90),
                    (1, Some((2449698, 985478)), 6),
                    (1, None, 22),
                    (2, None, 194),
                    (1, Some((1277678, 3349053)), 62),
                    (0, Some((1616450, 1820328)), 85),
                    (0, None, 42),
                    (4, None, 108),
                    (1, None, 78),
                    (1, None, 204),
                    (1, Some((2996339, 923601)), 205),
                    (1, None, 81),
                    (4, Some((438717, 2548137)), 158),
                    (0, None, 87),
                ],
            ),
        ),
        // Here two threads called each other for ever.
        (
            2,
            2,
            (
                &[19, 109, 94, 0, 0],
                &[
                    (0, None, 108),
                    (1, Some((1476474, 3343306)), 236),
                    (4, Some((1081629, 2747395)), 201),
                    (4, None, 153),
                    (0, Some((2877355, 3911094)), 207),
                    (1, None, 242),
                    (4, Some((2896583, 265201)), 205),
                    (1, Some((2588953, 3014377)), 207),
                    (1, Some((256500, 3506464)), 164),
                    (3, None, 76),
                    (1, None, 92),
                    (0, Some((769528, 1057385)), 171),
                    (3, Some((3549896, 3215631)), 242),
                ],
            ),
        ),
        (
            3,
            1,
            (
                &[0, 0, 32, 51],
                &[
                    (0, Some((154817, 50000)), 23),
                    (0, Some((1511089, 107898)), 60),
                    (3, Some((898450, 50000)), 25),
                    (3, Some((90869, 50000)), 9),
                    (2, Some((1199840, 2552482)), 74),
                ],
            ),
        ),
        (
            3,
            1,
            (
                &[0, 33, 21, 0],
                &[
                    (2, Some((515240, 141869)), 23),
                    (1, Some((1546142, 3220479)), 102),
                    (1, Some((58649, 1392467)), 50),
                    (3, Some((2257475, 479276)), 4),
                    (1, Some((1837896, 1838268)), 9),
                    (2, Some((901407, 1601026)), 74),
                ],
            ),
        ),
    ];
    for (cores, threads, set) in cases {
        let machine = Machine::with_shape(cores * threads, threads, cores * threads);
        // It looks at every step.
        capped(&machine, BY_CORE, set).run_until(SECOND);
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

    /// A capped domain has no more than its cap; each of its vCPUs gets its part of that, or of the machine if that is less.
    #[test]
    fn caps_are_kept_and_shared(
        cores in 1u32..=3,
        set in prop::collection::vec((1usize..4, 10u16..200), 1..4),
        uncapped in 0usize..4,
    ) {
        let machine = Machine::with_shape(2 * cores, 2, 2 * cores);
        let mut sim = Sim::with_policy(&machine, BY_CORE);
        let mut add = |domain: usize, vcpus: usize, budget: &Rc<Budget>| -> Vec<Vcpu> {
            (0..vcpus).map(|_| sim.add_of(domain as u32, budget.clone(), Job::Compute, 256, ANYWHERE)).collect()
        };
        let domains: Vec<_> = set.iter().enumerate().map(|(i, (vcpus, cap))| add(i, *vcpus, &budget(*cap))).collect();
        add(set.len(), uncapped, &Rc::default());
        let all = sim.vcpus.len() as f64;
        let got = shares(&mut sim, &domains, SECOND, SECOND);
        for (domain, (vcpus, cap)) in got.iter().zip(&set) {
            let cap = (f64::from(*cap) / 100.0).min(*vcpus as f64);
            prop_assert!(domain.iter().sum::<f64>() <= cap + 0.02, "{got:?}");
            let part = (cap / *vcpus as f64).min(f64::from(cores) / all);
            prop_assert!(domain.iter().all(|share| *share >= 0.9 * part), "{got:?}");
        }
    }

    /// Sleepers and others, of domains of any size, with caps. That no CPU idles beside work holds without core scheduling, too.
    #[test]
    fn no_core_is_shared(
        by_core in prop::bool::weighted(0.75),
        cores in 1u32..=4,
        threads in 1u32..=4,
        set in prop::collection::vec((0u32..5, any::<bool>(), MS / 20..4 * MS, MS / 20..4 * MS, 1u64..256), 1..20),
        caps in prop::array::uniform5(prop_oneof![Just(0u16), 10u16..200]),
    ) {
        let cpus = cores * threads;
        let machine = Machine::with_shape(cpus, threads, cpus);
        let vcpus: Vec<_> = set
            .into_iter()
            .map(|(domain, computes, burst, pause, hard)| {
                let hard = if hard & ((1 << cpus) - 1) == 0 { u64::MAX } else { hard };
                (domain, (!computes).then_some((burst, pause)), hard)
            })
            .collect();
        let policy = if by_core { BY_CORE } else { Policy::default() };
        let mut sim = capped(&machine, policy, (&caps, &vcpus));
        sim.run_until(SECOND / 2);
        let before: Vec<u64> = sim.vcpus.iter().map(|vcpu| vcpu.ran(SECOND / 2)).collect();
        sim.run_until(SECOND);
        for (i, (vcpu, before)) in sim.vcpus.iter().zip(before).enumerate() {
            prop_assert!(vcpu.ran(SECOND) > before, "vCPU {i} is stuck: {:?}", vcpu.node);
        }
    }

    /// A whole machine: 32 cores of two threads. Nobody starves, whatever the domains are.
    #[test]
    fn a_whole_machine(
        set in prop::collection::vec((1usize..9, prop_oneof![Just(64u32), Just(256), Just(1024)], any::<bool>()), 10..60),
    ) {
        let machine = Machine::with_shape(64, 2, 16);
        let mut sim = Sim::with_policy(&machine, BY_CORE);
        let mut domains: Vec<Vec<Vcpu>> = Vec::new();
        for (i, (vcpus, weight, sleeps)) in set.iter().enumerate() {
            let job = if *sleeps { Job::Sleep { burst: MS, pause: 3 * MS } } else { Job::Compute };
            let add = |_| sim.add_of(i as u32, Rc::default(), job, *weight, ANYWHERE);
            domains.push((0..*vcpus).map(add).collect());
        }
        let weights: f64 = set.iter().map(|(vcpus, weight, _)| *vcpus as f64 * f64::from(*weight)).sum();
        let got = shares(&mut sim, &domains, SECOND / 2, SECOND / 2);
        for (domain, (_, weight, sleeps)) in got.iter().zip(&set) {
            // Of the cores, as if each ran one thread only; who sleeps wants a quarter, less what it waits for its core.
            let least = (32.0 * f64::from(*weight) / weights).min(if *sleeps { 0.15 } else { 1.0 });
            prop_assert!(domain.iter().all(|share| *share >= 0.9 * least), "{least}: {domain:?} of {got:?}");
        }
    }
}

//! Shares and caps.

use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::few_cases;
use super::sim::{Job, MS, Machine, SECOND, Sim, Vcpu};
use crate::ids::CpuId;
use crate::machine::CpuMask;
use crate::sched::{Budget, SLICE, Schedulable};

const ANYWHERE: CpuMask = CpuMask(u64::MAX);

/// What a vCPU's time in a second may be off by: 2 % of its share, or two and a half slices where that is more. At each
/// end of the second, one may be a slice away from its share; the queues differ by half of one.
const COARSE: f64 = 2.5 * SLICE as f64 / SECOND as f64;

/// The weighted max-min fair shares, in CPUs, of vCPUs that may run anywhere: by weight, but for those that would get
/// more than a whole CPU.
fn fair(cpus: u32, weights: &[u32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| core::cmp::Reverse(weights[*i]));
    let mut left = f64::from(cpus);
    let mut sum: f64 = weights.iter().copied().map(f64::from).sum();
    let mut shares = vec![0.0; weights.len()];
    for i in order {
        let weight = f64::from(weights[i]);
        shares[i] = (left * weight / sum).min(1.0);
        left -= shares[i];
        sum -= weight;
    }
    shares
}

/// The same for vCPUs that may run on some CPUs only: shares grow together, by weight, until some set of CPUs is full
/// of those that can go nowhere else.
fn fair_within(cpus: u32, vcpus: &[(u32, CpuMask)]) -> Vec<f64> {
    let mut shares: Vec<(f64, bool)> = vec![(0.0, true); vcpus.len()];
    while shares.iter().any(|(_, grows)| *grows) {
        let bound_to = |set: u64| move |(_, (_, mask)): &(usize, &(u32, CpuMask))| mask.0 & !set == 0;
        let room = |set: u64, shares: &[(f64, bool)]| {
            let inside = || vcpus.iter().enumerate().filter(bound_to(set));
            let free = f64::from(set.count_ones()) - inside().map(|(i, _)| shares[i].0).sum::<f64>();
            let weight: f64 = inside().filter(|(i, _)| shares[*i].1).map(|(_, (w, _))| f64::from(*w)).sum();
            if weight == 0.0 { f64::INFINITY } else { free.max(0.0) / weight }
        };
        let alone = |i: usize, shares: &[(f64, bool)]| (1.0 - shares[i].0) / f64::from(vcpus[i].0);
        let by_set = (1..1 << cpus).map(|set| room(set, &shares)).fold(f64::INFINITY, f64::min);
        let open = (0..vcpus.len()).filter(|i| shares[*i].1);
        let step = open.map(|i| alone(i, &shares)).fold(by_set, f64::min);
        for (share, (weight, _)) in shares.iter_mut().zip(vcpus).filter(|(share, _)| share.1) {
            share.0 += step * f64::from(*weight);
        }
        let before = shares.clone();
        for set in (1..1 << cpus).filter(|set| room(*set, &before) < 1e-9) {
            vcpus.iter().enumerate().filter(bound_to(set)).for_each(|(i, _)| shares[i].1 = false);
        }
        (0..vcpus.len()).filter(|i| alone(*i, &before) < 1e-9).for_each(|i| shares[i].1 = false);
    }
    shares.into_iter().map(|(share, _)| share).collect()
}

/// What each vCPU gets in the time from `start`, in CPUs.
fn measure(sim: &mut Sim, start: u64, length: u64) -> Vec<f64> {
    sim.run_until(start);
    let before: Vec<u64> = sim.vcpus.iter().map(|vcpu| vcpu.ran(start)).collect();
    let end = start + length;
    sim.run_until(end);
    let ran = sim.vcpus.iter().zip(before).map(|(vcpu, before)| vcpu.ran(end) - before);
    ran.map(|ran| ran as f64 / length as f64).collect()
}

fn check(got: &[f64], fair: &[f64], what: impl core::fmt::Debug) {
    for (i, (got, fair)) in got.iter().zip(fair).enumerate() {
        let off = (got - fair).abs();
        assert!(off <= (0.02 * fair).max(COARSE), "{what:?}: vCPU {i} got {got:.4}, fair is {fair:.4}");
    }
}

fn computing<'a>(machine: &'a Machine, vcpus: &[(u32, CpuMask)]) -> Sim<'a> {
    let mut sim = Sim::new(machine);
    for (weight, cpus) in vcpus {
        sim.add(Job::Compute, *weight, *cpus);
    }
    sim
}

fn free(weights: &[u32]) -> Vec<(u32, CpuMask)> {
    weights.iter().map(|weight| (*weight, ANYWHERE)).collect()
}

/// From the start, and from later on.
#[test]
fn shares_of_known_sets() {
    for (cpus, weights) in [
        (1, vec![256; 4]),
        (1, vec![256, 768]),
        (1, [vec![256], vec![1; 255]].concat()),
        (2, vec![256; 3]),
        (2, vec![256, 1, 1, 1, 1]),
        (2, [vec![256, 256], vec![1; 30]].concat()),
        (4, vec![256; 7]),
        (7, vec![256; 5]),
        (16, vec![256; 17]),
        (8, (1..100).collect()),
    ] {
        for start in [0, SECOND] {
            let machine = Machine::new(cpus);
            let mut sim = computing(&machine, &free(&weights));
            check(&measure(&mut sim, start, SECOND), &fair(cpus, &weights), (cpus, &weights, start));
        }
    }
}

#[test]
fn shares_within_affinities() {
    let (a, b, ab, bc) = (CpuMask(0b1), CpuMask(0b10), CpuMask(0b11), CpuMask(0b110));
    for (cpus, vcpus) in [
        (2, vec![(256, a), (256, a), (256, a), (256, ab)]),
        (2, vec![(256, a), (256, ab), (256, ab)]),
        (2, vec![(256, a), (1, b), (256, ab), (256, ab)]),
        (3, vec![(256, a), (256, a), (256, ab), (256, bc), (512, ANYWHERE)]),
    ] {
        let machine = Machine::new(cpus);
        let mut sim = computing(&machine, &vcpus);
        let masks: Vec<_> = vcpus.iter().map(|(w, m)| (*w, CpuMask(m.0 & CpuMask::first(cpus).0))).collect();
        check(&measure(&mut sim, SECOND, SECOND), &fair_within(cpus, &masks), vcpus);
    }
}

/// Three vCPUs keep one CPU busier than the other for a while. That gives nobody a claim once two of them are gone.
#[test]
fn what_is_long_past_does_not_count() {
    let machine = Machine::new(2);
    let (a, ab) = (CpuMask(1), CpuMask(3));
    let mut sim = computing(&machine, &[(256, a), (256, a), (256, a), (256, ab), (256, ab)]);
    sim.run_until(20 * SECOND);
    for gone in [0, 1] {
        let vcpu = sim.vcpus[gone].clone();
        sim.on(CpuId(0), |sim| sim.sched.hold(&vcpu));
    }
    let got = measure(&mut sim, 20 * SECOND + 200 * MS, SECOND);
    check(&got, &[0.0, 0.0, 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0], "after");
}

#[test]
fn a_weight_takes_effect_at_once() {
    let machine = Machine::new(1);
    let mut sim = computing(&machine, &free(&[1, 256]));
    let light = sim.vcpus[0].clone();
    sim.run_until(SECOND);
    sim.on(CpuId(0), |sim| sim.sched.set_weight(&light, 768));
    check(&measure(&mut sim, SECOND, SECOND), &[0.75, 0.25], "changed");
}

#[test]
fn one_that_yields_lets_the_next_go() {
    let machine = Machine::new(1);
    let mut sim = computing(&machine, &free(&[256, 256]));
    sim.run_until(10 * MS);
    for _ in 0..10 {
        let vcpu = sim.running(CpuId(0)).cloned().expect("a vCPU runs");
        sim.on(CpuId(0), |sim| sim.sched.yield_now(&vcpu));
        assert!(sim.running(CpuId(0)).is_some_and(|next| *next != vcpu));
        let later = sim.now() + MS / 10;
        sim.run_until(later);
    }
}

/// A CPU that idles, or runs the only vCPU that wants it, is not interrupted.
#[test]
fn no_tick_where_nobody_waits() {
    let machine = Machine::new(3);
    let mut sim = computing(&machine, &free(&[256, 1]));
    sim.run_until(SECOND);
    let before: Vec<u32> = (0..3).map(|cpu| machine.interrupts(CpuId(cpu))).collect();
    sim.run_until(3 * SECOND);
    let after: Vec<u32> = (0..3).map(|cpu| machine.interrupts(CpuId(cpu))).collect();
    assert_eq!(before, after);
}

fn capped(sim: &mut Sim, percent: u16, vcpus: u32) -> Vec<Vcpu> {
    let budget = Rc::new(Budget::default());
    budget.set_cap(percent);
    (0..vcpus).map(|_| sim.add_to(budget.clone(), Job::Compute, 256, ANYWHERE)).collect()
}

/// Alone, against others, with several vCPUs at once, and with more than it can use.
#[test]
fn caps_hold() {
    for (cpus, percent, vcpus, others) in [
        (1, 30, 1, 0),
        (1, 30, 1, 1),
        (1, 30, 1, 4),
        (4, 30, 4, 2),
        (4, 150, 4, 0),
        (2, 1, 2, 1),
        (1, 150, 1, 0),
    ] {
        let machine = Machine::new(cpus);
        let mut sim = Sim::new(&machine);
        capped(&mut sim, percent, vcpus);
        (0..others).for_each(|_| drop(sim.add(Job::Compute, 256, ANYWHERE)));
        let got = measure(&mut sim, SECOND, SECOND);
        let total: f64 = got[..vcpus as usize].iter().sum();
        let unlimited = f64::from(cpus * vcpus) / f64::from(vcpus + others);
        let expected = (f64::from(percent) / 100.0).min(unlimited).min(f64::from(cpus.min(vcpus)));
        assert!((total - expected).abs() <= 0.02, "{total} of {expected}: cap {percent} on {cpus} CPUs");
        let rest: f64 = got[vcpus as usize..].iter().sum();
        let left = f64::from(others.min(1)) - expected;
        assert!(cpus > 1 || others == 0 || (rest - left).abs() <= 0.02, "the others got {rest} of {left}");
    }
}

/// One that waits for its domain's next period is runnable: that is stolen time, as the guest sees it.
#[test]
fn capped_time_is_time_waited() {
    let machine = Machine::new(1);
    let mut sim = Sim::new(&machine);
    let vcpu = capped(&mut sim, 30, 1).remove(0);
    sim.run_until(SECOND);
    assert!(vcpu.waited(SECOND).abs_diff(700 * MS) <= 20 * MS);
    // Events do not shorten the wait.
    sim.add(Job::Sleep { burst: MS / 10, pause: MS }, 256, ANYWHERE);
    for at in 1..1000 {
        sim.interrupt_at(SECOND + at * MS, 0);
    }
    let got = measure(&mut sim, SECOND, SECOND);
    assert!((got[0] - 0.3).abs() <= 0.02, "{got:?}");
}

/// Nobody looks at a vCPU that is alone on its CPU, for days; then others come.
#[test]
fn a_long_run_alone_is_no_claim_and_no_debt() {
    const DAYS: u64 = 5 * 24 * 3600 * SECOND;
    for (alone, comes) in [(1, 65535), (1, 256), (64, 1024), (256, 256), (65535, 1)] {
        let machine = Machine::new(1);
        let mut sim = Sim::new(&machine);
        sim.add(Job::Compute, alone, ANYWHERE);
        sim.run_until(DAYS);
        assert!(sim.on(CpuId(0), |sim| sim.sched.idle_time(CpuId(0))) < SECOND, "busy all the time");
        sim.add(Job::Compute, comes, ANYWHERE);
        sim.add(Job::Compute, comes, ANYWHERE);
        let weights = [alone, comes, comes];
        check(&measure(&mut sim, DAYS + SECOND / 2, SECOND), &fair(1, &weights), weights);
    }
}

/// What a domain used before it had a cap is not held against it.
#[test]
fn a_cap_is_no_punishment() {
    let machine = Machine::new(2);
    let mut sim = Sim::new(&machine);
    let vcpus = capped(&mut sim, 0, 2);
    sim.run_until(3600 * SECOND);
    vcpus[0].budget().set_cap(50);
    vcpus.iter().for_each(|vcpu| sim.on(CpuId(0), |sim| sim.sched.look_again(vcpu)));
    let got = measure(&mut sim, 3601 * SECOND, SECOND);
    assert!((got[0] + got[1] - 0.5).abs() <= 0.02, "{got:?}");
}

/// Sets as the scheduler meets them: up to two vCPUs per CPU, or any number.
fn sets() -> impl Strategy<Value = (u32, Vec<u32>)> {
    let top = prop_oneof![Just(1u32), Just(4), Just(32), Just(256)];
    (1u32..=64, 2usize..=1000, any::<bool>(), top).prop_flat_map(|(cpus, vcpus, few, top)| {
        let vcpus = if few { 2 + vcpus % (4 * cpus as usize) } else { vcpus };
        (Just(cpus), prop::collection::vec(1..=top, vcpus))
    })
}

proptest! {
    #![proptest_config(few_cases(8))]

    #[test]
    fn shares((cpus, weights) in sets()) {
        let machine = Machine::new(cpus);
        let mut sim = computing(&machine, &free(&weights));
        check(&measure(&mut sim, SECOND, SECOND), &fair(cpus, &weights), (cpus, weights.len()));
    }

    /// Some may run on one CPU only, the others anywhere: evening that out takes seconds, not slices.
    #[test]
    fn shares_with_pinned_ones(
        cpus in 1u32..=5,
        vcpus in prop::collection::vec((1u32..=32, prop::option::of(0u32..5)), 1..20),
    ) {
        let within = |pin: Option<u32>| pin.map_or(CpuMask::first(cpus), |cpu| CpuMask(1 << (cpu % cpus)));
        let vcpus: Vec<_> = vcpus.into_iter().map(|(weight, pin)| (weight, within(pin))).collect();
        let machine = Machine::new(cpus);
        let mut sim = computing(&machine, &vcpus);
        check(&measure(&mut sim, 2 * SECOND, 20 * SECOND), &fair_within(cpus, &vcpus), (cpus, vcpus));
    }
}

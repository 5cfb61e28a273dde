//! How soon vCPUs run that have something to do.

use std::vec::Vec;

use super::sim::{Job, MS, Machine, SECOND, Sim};
use crate::machine::CpuMask;

const ANYWHERE: CpuMask = CpuMask(u64::MAX);

/// Wake-up latencies of `sleepers` vCPUs that use little, sorted; each CPU has four others that compute.
fn latencies(cpus: u32, sleepers: u64, weight: u32, burst: u64, pause: u64) -> Vec<u64> {
    let machine = Machine::new(cpus);
    let mut sim = Sim::new(&machine);
    (0..4 * cpus).for_each(|_| drop(sim.add(Job::Compute, 256, ANYWHERE)));
    for i in 0..sleepers {
        // Out of step with each other.
        sim.add(Job::Sleep { burst, pause: pause + i * 1237 }, weight, ANYWHERE);
    }
    sim.run_until(2 * SECOND);
    let sleepers = sim.vcpus.iter().skip(4 * cpus as usize);
    let mut all: Vec<u64> = sleepers.flat_map(|vcpu| vcpu.latencies.borrow().clone()).collect();
    all.sort_unstable();
    all
}

#[test]
fn sleepers_run_at_once() {
    for (cpus, sleepers, weight, burst, pause) in [
        (1, 1, 256, MS / 10, 10 * MS),
        (1, 1, 64, MS / 10, 10 * MS),
        (4, 4, 256, MS / 2, 5 * MS),
        (4, 8, 1024, MS / 10, 3 * MS),
        (8, 32, 256, MS / 20, 7 * MS),
    ] {
        let all = latencies(cpus, sleepers, weight, burst, pause);
        assert!(all.len() > 100);
        let worst = all[all.len() * 99 / 100];
        assert!(worst <= MS, "{worst} ns with {sleepers} sleepers of weight {weight} on {cpus} CPUs");
    }
}

/// Who sleeps most of the time does not keep the others from their shares.
#[test]
fn sleepers_starve_nobody() {
    let machine = Machine::new(1);
    let mut sim = Sim::new(&machine);
    let busy: Vec<_> = (0..2).map(|_| sim.add(Job::Compute, 256, ANYWHERE)).collect();
    // As much as they get.
    (0..2).for_each(|_| drop(sim.add(Job::Sleep { burst: MS, pause: MS / 10 }, 256, ANYWHERE)));
    sim.run_until(2 * SECOND);
    for vcpu in busy {
        let ran = vcpu.ran(2 * SECOND);
        assert!(ran >= 480 * MS, "{ran} of 500 ms");
    }
}

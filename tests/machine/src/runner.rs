//! Runs scenarios, as many at once as the machine has CPUs for, and reports each as it ends.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Result;

use crate::config::{Config, Images};
use crate::machine::Machine;

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// AMD-V.
    Qemu,
    /// VT-x, one CPU.
    Bochs,
}

/// One test body on one machine.
pub struct Scenario {
    /// Says what is tested and on what: `lifecycle/dom0-6.12-4cpus`.
    pub name: String,
    pub emulator: Emulator,
    pub config: Config,
    pub body: fn(&mut Machine) -> Result<()>,
    /// Takes long: for `--full` only.
    pub long: bool,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub passed: usize,
    pub failed: usize,
}

/// Runs the scenarios, never more virtual CPUs at once than `host_cpus` (or one machine).
pub fn run(images: &dyn Images, scenarios: Vec<Scenario>, host_cpus: usize) -> Summary {
    let queue = Mutex::new(scenarios.into_iter().collect::<VecDeque<_>>());
    let summary = Mutex::new(Summary::default());
    let cpus = Tokens { all: host_cpus, free: Mutex::new(host_cpus), changed: Condvar::new() };
    thread::scope(|scope| {
        for _ in 0..host_cpus {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(scenario) = next else { return };
                    let wanted = cpus.take(scenario.config.cpus as usize);
                    let passed = one(images, &scenario);
                    cpus.give(wanted);
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    *(if passed { &mut summary.passed } else { &mut summary.failed }) += 1;
                }
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn one(images: &dyn Images, scenario: &Scenario) -> bool {
    let name = &scenario.name;
    let started = Instant::now();
    println!("machine test {name} ...");
    let config = scenario.config.clone();
    let machine = match scenario.emulator {
        Emulator::Qemu => Machine::start(images, name, config),
        Emulator::Bochs => Machine::start_bochs(images, name, config),
    };
    let (result, last_words) = match machine {
        Err(error) => (Err(error), String::new()),
        Ok(mut machine) => {
            let result = (scenario.body)(&mut machine);
            (result, machine.last_words())
        }
    };
    let seconds = started.elapsed().as_secs();
    match result {
        Ok(()) => {
            println!("machine test {name} ... ok ({seconds} s)");
            true
        }
        Err(error) => {
            let report = format!("{error:#}\n{last_words}");
            let log = images.logs().join(name).join("failure.log");
            // The report is printed in any case; the file is for those who come later.
            let _ = fs::write(&log, &report);
            println!(
                "machine test {name} ... FAILED ({seconds} s): {report}    logs: {}",
                images.logs().join(name).display()
            );
            false
        }
    }
}

/// The host's CPUs, lent to machines.
struct Tokens {
    all: usize,
    free: Mutex<usize>,
    changed: Condvar,
}

impl Tokens {
    /// Waits for `wanted` CPUs, or for all there are if it wants more.
    fn take(&self, wanted: usize) -> usize {
        let wanted = wanted.clamp(1, self.all);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < wanted {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= wanted;
        wanted
    }

    fn give(&self, count: usize) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += count;
        self.changed.notify_all();
    }
}

//! Runs scenarios, as many at once as the machine has CPUs for, and reports each case as it ends.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Result;

use crate::config::{Config, Images, Model};
use crate::machine::Machine;
use crate::stale_int3;

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// One CPU or several.
    Qemu,
    /// AMD-V as others understand it, or VT-x.
    Bochs(Model),
}

/// A test body.
pub type Body = fn(&mut Machine) -> Result<()>;

/// One test; its name says what it proves.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub body: Body,
}

/// One machine and the tests that run on it, one after the other, from the same boot.
pub struct Scenario {
    /// Says what the machine is: `bios-6.1-1cpu`.
    pub name: &'static str,
    pub emulator: Emulator,
    pub config: Config,
    pub cases: Vec<Case>,
    /// Takes long: for `--full` only.
    pub long: bool,
}

impl Scenario {
    /// The names of the tests: `machine/case`.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.cases.iter().map(|case| format!("{}/{}", self.name, case.name))
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub passed: usize,
    pub failed: usize,
}

impl Summary {
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
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
                    let sum = machine(images, &scenario);
                    cpus.give(wanted);
                    summary.lock().unwrap_or_else(PoisonError::into_inner).add(sum);
                }
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// How often a machine is run again that QEMU has failed in the one way that is known and cannot be avoided.
const AGAIN: u32 = 2;

/// Runs one machine; again only if that was the emulator's fault.
fn machine(images: &dyn Images, scenario: &Scenario) -> Summary {
    for _ in 0..AGAIN {
        let excusable = stale_int3::possible(scenario.emulator, &scenario.config);
        let Attempt { summary, stale_int3 } = attempt(images, scenario, excusable);
        if !stale_int3 {
            return summary;
        }
        println!(
            "machine {}: QEMU has run a stale INT3 (docs/src/decisions/stale-int3.md); again from the start",
            scenario.name
        );
    }
    attempt(images, scenario, false).summary
}

/// What came of a machine from its boot to its end.
struct Attempt {
    summary: Summary,
    /// It failed by the emulator's fault, and what failed says nothing about Tenon.
    stale_int3: bool,
}

/// Boots one machine and runs its cases. After one has failed the others still run: if the machine is
/// dead, they fail at once. A failure that can be excused ends the attempt.
fn attempt(images: &dyn Images, scenario: &Scenario, excusable: bool) -> Attempt {
    println!("machine {} starts", scenario.name);
    let mut sum = Summary::default();
    let config = scenario.config.clone();
    let machine = match scenario.emulator {
        Emulator::Qemu => Machine::start(images, scenario.name, config),
        Emulator::Bochs(model) => Machine::start_bochs(images, scenario.name, config, model),
    };
    let mut machine = match machine {
        Ok(machine) => machine,
        Err(error) => {
            println!("test {}/start ... FAILED: {error:#}", scenario.name);
            let summary = Summary { passed: 0, failed: scenario.cases.len() };
            return Attempt { summary, stale_int3: false };
        }
    };
    for case in &scenario.cases {
        let started = Instant::now();
        let result = (case.body)(&mut machine);
        let name = format!("{}/{}", scenario.name, case.name);
        let seconds = started.elapsed().as_secs();
        let Err(error) = result else {
            sum.passed += 1;
            println!("test {name} ... ok ({seconds} s)");
            continue;
        };
        sum.failed += 1;
        let stale_int3 = excusable && machine.ran_stale_int3();
        let verdict = if stale_int3 { "stopped by the emulator" } else { "FAILED" };
        let logs = images.logs().join(scenario.name);
        // Once is enough: the later failures of a machine mostly follow from the first.
        let last_words = if sum.failed == 1 { machine.last_words() } else { String::new() };
        let report = format!("{error:#}\n{last_words}");
        // The report is printed in any case; the file is for those who come later.
        let _ = fs::write(logs.join(format!("{}.failure", case.name)), &report);
        println!("test {name} ... {verdict} ({seconds} s): {report}    logs: {}", logs.display());
        if stale_int3 {
            return Attempt { summary: sum, stale_int3 };
        }
    }
    Attempt { summary: sum, stale_int3: false }
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

//! `cargo xtask test`: every check, then every machine scenario, then one line with the sum.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use machine_tests::Images;
use machine_tests::runner::{self, Emulator, Scenario, Summary};
use machine_tests::scenarios;

use crate::build;
use crate::checks::{self, Check};
use crate::kernels::Series;
use crate::kit::{Kit, Wanted};
use crate::packages::Need;
use crate::step;
use crate::workspace::Workspace;

#[derive(Args)]
pub struct TestArgs {
    /// Run only checks and machines with this in a test's name; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Run the long soaks, too.
    #[arg(long)]
    full: bool,
    /// Print the names and run nothing.
    #[arg(long)]
    list: bool,
    /// CPUs of this machine to use for emulators.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Boot the machines with a hypervisor that has debug assertions, such as the check of the lock order. Slower.
    #[arg(long)]
    debug_hypervisor: bool,
}

pub fn test(ws: Workspace, args: &TestArgs) -> Result<()> {
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|only| name.contains(only.as_str()));
    let all = args.full || args.list || !args.only.is_empty();
    let checks = checks::ALL.iter().filter(|check| (all || !check.long) && wanted(check.name));
    let checks: Vec<&Check> = checks.collect();
    let mut machines = scenarios::all();
    machines.retain(|scenario| all || !scenario.long);
    machines.retain(|scenario| scenario.names().any(|name| wanted(&name)));
    if args.list {
        let names = checks.iter().map(|check| check.name);
        for name in names.map(str::to_owned).chain(machines.iter().flat_map(Scenario::names)) {
            println!("{name}");
        }
        return Ok(());
    }
    if checks.is_empty() && machines.is_empty() {
        bail!("no test has such a name; `cargo xtask test --list` shows all");
    }
    let started = Instant::now();
    let mut total = Summary::default();
    let mut failures = Vec::new();
    for check in checks {
        let sum = perform(check, &ws);
        add(&mut total, sum, check.name, &mut failures);
    }
    if !machines.is_empty() {
        let sum = boot_machines(ws, machines, args)?;
        add(&mut total, sum, "machines", &mut failures);
    }
    println!("took {} s", started.elapsed().as_secs());
    println!("{} passed, {} failed", total.passed, total.failed);
    if !failures.is_empty() {
        bail!("failed: {}", failures.join(", "));
    }
    Ok(())
}

fn perform(check: &Check, ws: &Workspace) -> Summary {
    step::say(format!("check: {}", check.name));
    let started = Instant::now();
    let sum = (check.run)(ws).unwrap_or_else(|error| {
        println!("{}: {error:#}", check.name);
        Summary { passed: 0, failed: 1 }
    });
    let seconds = started.elapsed().as_secs();
    println!("check {} ... {} passed, {} failed ({seconds} s)", check.name, sum.passed, sum.failed);
    sum
}

fn add(total: &mut Summary, sum: Summary, name: &'static str, failures: &mut Vec<&'static str>) {
    total.add(sum);
    if sum.failed > 0 {
        failures.push(name);
    }
}

fn boot_machines(ws: Workspace, machines: Vec<Scenario>, args: &TestArgs) -> Result<Summary> {
    let mut needs = vec![Need::Images, Need::Qemu];
    if machines.iter().any(|scenario| matches!(scenario.emulator, Emulator::Bochs(_))) {
        needs.push(Need::Bochs);
    }
    let dom0: Vec<Series> = Series::ALL
        .into_iter()
        .filter(|series| machines.iter().any(|m| m.config.kernel == series.name()))
        .collect();
    let debug_hypervisor = if args.debug_hypervisor { Some(build::debug_hypervisor(&ws)?) } else { None };
    let wanted = Wanted {
        needs: &needs,
        dom0: &dom0,
        guests: &Series::ALL,
        stock_tools: machines.iter().any(|m| m.config.stock_tools),
        debian: machines.iter().any(|m| m.config.debian),
        kernel: None,
        hypervisor: debug_hypervisor.as_deref(),
    };
    let kit = Kit::assemble(ws, &wanted)?;
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    step::say(format!("{} machine tests, logs in {}", machines.len(), kit.logs().display()));
    Ok(runner::run(&kit, machines, jobs))
}

//! The small test guests (`tests/guests`): each asserts one part of the ABI from inside.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::machine::Machine;

/// What lies beside them: kernels and their initrds, and programs that measure or idle.
const OTHERS: [&str; 4] = ["vmlinuz-", "initrd-", "figures", "idle"];

/// Runs every test guest that domain 0 has, and reports the failed tests of all of them.
pub fn all_pass(machine: &mut Machine) -> Result<()> {
    let names = machine.ok("ls /guests")?;
    let is_test = |name: &&str| !OTHERS.iter().any(|other| name.starts_with(other));
    let mut failures = Vec::new();
    let mut count = 0;
    for name in names.split_whitespace().filter(is_test) {
        count += 1;
        if let Err(error) = passes(machine, name) {
            failures.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(count > 0, "domain 0 has no test guests");
    ensure!(failures.is_empty(), "of {count} test guests:\n{}", failures.join("\n"));
    Ok(())
}

fn passes(machine: &mut Machine, name: &str) -> Result<()> {
    let file = format!(
        "name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/{name}\"\nmemory = 64\nvcpus = 4\n\
         on_crash = \"destroy\""
    );
    machine.write_file("/tmp/small.cfg", &file)?;
    machine.ok("tenon create /tmp/small.cfg")?;
    let sum = machine.expect(&format!("{name}: "), Duration::from_secs(240));
    let ended =
        machine.run(&format!("tenon wait --for destroy --timeout 60 {name}"), Duration::from_secs(90))?;
    // 4: the domain is gone already.
    if sum.is_err() || !matches!(ended.code, 0 | 4) {
        machine.run(&format!("tenon destroy {name}"), Duration::from_secs(60))?;
    }
    let sum = sum.context("it does not come to an end")?;
    if sum.line.contains(" 0 failed") {
        return Ok(());
    }
    let failed: Vec<&str> = sum.before.lines().filter(|line| line.contains("FAIL ")).collect();
    bail!("{}\n{}", sum.line, failed.join("\n"))
}

//! `tenon top`: what it says of a guest that computes and of one that waits, and what it does to a terminal.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lifecycle::gone;
use crate::machine::Machine;

const PROMPT: &str = "/ # ";
const SOON: Duration = Duration::from_secs(60);

/// A small guest that executes CPUID all the time, and one that does nothing.
const GUESTS: [(&str, &str); 2] = [("busy", "cmdline = \"busy\""), ("lazy", "")];

pub fn top(machine: &mut Machine) -> Result<()> {
    for (name, line) in GUESTS {
        let file =
            format!("name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\n{line}");
        machine.write_file(&format!("/tmp/{name}.cfg"), &file)?;
        machine.ok(&format!("tenon create /tmp/{name}.cfg"))?;
    }
    machine.ok("sleep 2")?;
    agrees_with_xl(machine)?;
    prints_tables(machine)?;
    gives_the_terminal_back(machine)?;
    for (name, _) in GUESTS {
        machine.ok(&format!("tenon destroy {name}"))?;
        gone(machine, name)?;
    }
    Ok(())
}

fn agrees_with_xl(machine: &mut Machine) -> Result<()> {
    let before = xl_seconds(machine, "busy")?;
    let top = machine.json("tenon top --json --exits --interval 5")?;
    let ran = xl_seconds(machine, "busy")? - before;
    let number = |value: &Value| value.as_f64().with_context(|| format!("no number: {value} in\n{top:#}"));
    let domain = |name: &str| {
        let domains = top["domains"].as_array().into_iter().flatten();
        domains
            .into_iter()
            .find(|domain| domain["name"] == name)
            .with_context(|| format!("no {name}:\n{top:#}"))
    };

    let (busy, lazy) = (domain("busy")?, domain("lazy")?);
    let seconds = number(&top["interval_seconds"])?;
    ensure!((4.9..30.0).contains(&seconds), "an interval of 5 s took {seconds} s");
    let percent = number(&busy["cpu_percent"])?;
    let waiting = number(&busy["waiting_percent"])?;
    ensure!((90.0..=100.1).contains(&(percent + waiting)) && percent > 50.0, "the busy guest: {busy:#}");
    ensure!(number(&lazy["cpu_percent"])? < 5.0, "the idle guest: {lazy:#}");
    let cpuid = &busy["exits"]["cpuid"];
    ensure!(number(&cpuid["per_second"])? > 1000.0, "the busy guest's exits: {busy:#}");
    ensure!(number(&cpuid["count"])? > number(&cpuid["per_second"])? * seconds * 0.99, "counts: {cpuid}");
    ensure!(number(&lazy["exits_per_second"])? < 100.0, "the idle guest's exits: {lazy:#}");
    ensure!(busy["memory_mib"] == 32 && busy["vcpus"] == 1, "the busy guest: {busy:#}");
    let host = &top["host"];
    ensure!(host["cpus"] == machine.config.machine_cpus(), "the host: {host}");
    let used = number(&host["cpu_percent"])? * number(&host["cpus"])?;
    ensure!((percent..=100.1 * number(&host["cpus"])?).contains(&used), "the host: {host}");
    // xl shows tenths of seconds, and asks a moment earlier and a moment later.
    ensure!(ran + 0.2 > percent / 100.0 * seconds, "xl list says {ran} s of {seconds} s: {busy:#}");
    Ok(())
}

/// The CPU time that `xl list` shows of a domain.
fn xl_seconds(machine: &mut Machine, name: &str) -> Result<f64> {
    let list = machine.ok(&format!("xl list {name}"))?;
    let time = list.split_whitespace().next_back().and_then(|time| time.parse().ok());
    time.with_context(|| format!("xl list shows no time:\n{list}"))
}

fn prints_tables(machine: &mut Machine) -> Result<()> {
    let table = machine.ok("tenon top --once --interval 1")?;
    let lines: Vec<&str> = table.lines().collect();
    ensure!(lines.len() >= 5 && lines[0].contains(" CPUs, ") && lines[1].starts_with("ID"), "{table}");
    ensure!(lines.iter().any(|line| line.contains(" busy ") && line.contains("cpuid ")), "{table}");
    let table = machine.ok("tenon top --once --exits --interval 1")?;
    ensure!(table.lines().nth(1).is_some_and(|titles| titles.contains(" cpuid")), "{table}");
    let done = machine.run("tenon top > /tmp/top", SOON)?;
    ensure!(done.code == 2 && done.output.contains("tenon top --once"), "no terminal: {}", done.output);
    let done = machine.run("tenon top --once --interval 0", SOON)?;
    ensure!(done.code == 2 && done.output.contains("not a number of seconds"), "interval: {}", done.output);
    Ok(())
}

/// Live on domain 0's own terminal, which is as before when a key, or a signal, has ended it.
fn gives_the_terminal_back(machine: &mut Machine) -> Result<()> {
    for (end, word) in [("q", "key"), ("", "signal")] {
        machine.type_in("tenon top --interval 1\n")?;
        machine.expect_prompt("WAIT%", SOON)?;
        machine.type_in("x")?;
        machine.expect_prompt("EXITS/s  interrupt", SOON)?;
        if end.is_empty() {
            machine.ok("kill $(pidof tenon)")?;
        } else {
            machine.type_in(end)?;
        }
        machine.expect_prompt(PROMPT, SOON)?;
        machine.type_in(&format!("stty -a; echo {word}-$((2+3))\n"))?;
        let left = machine.expect(&format!("{word}-5"), SOON)?.before;
        let is_set = |flag: &str| left.split_whitespace().any(|word| word == flag);
        ensure!(
            is_set("icanon") && is_set("isig"),
            "tenon top, ended by a {word}, left the terminal so:\n{left}"
        );
    }
    Ok(())
}

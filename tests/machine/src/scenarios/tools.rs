//! The `tenon` command, verb by verb: what it prints, what it does to its terminal, how it ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::bystander;
use super::lifecycle::gone;
use crate::machine::Machine;

const PROMPT: &str = "/ # ";
const SOON: Duration = Duration::from_secs(60);

/// A guest of a moment: 32 MiB, and a program that waits for ever.
const SITTER: &str = "name = \"sitter\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32";

/// A command line, its exit status, and what it says.
const ENDS: [(&str, i32, &str); 9] = [
    ("tenon list", 0, "Domain-0"),
    ("tenon pause 0", 1, "tenon: domain 0 controls the others; use poweroff or reboot in it"),
    ("tenon frobnicate", 2, "unrecognized subcommand 'frobnicate'"),
    ("tenon create", 2, "required arguments were not provided"),
    (
        "tenon create /tmp/wrong.cfg",
        3,
        "tenon: /tmp/wrong.cfg:1:1: unknown key \"nmae\"; did you mean \"name\"?",
    ),
    ("tenon create /no.cfg", 3, "tenon: /no.cfg: cannot read the guest file: No such file or directory"),
    ("tenon destroy nobody", 4, "tenon: there is no domain \"nobody\" (see `tenon list`)"),
    ("tenon wait --timeout 1 sitter", 5, "tenon: sitter: no shutdown within 1 s"),
    (
        "tenon shutdown --wait --timeout 1 sitter",
        5,
        "tenon: sitter still runs: it did not answer the request to poweroff",
    ),
];

/// Verbs that work on a guest, and the word by which they say in JSON what they did.
const DONE: [&str; 4] = ["pause", "unpause", "shutdown", "destroy"];

/// Every kind of end has its exit status and its cause, for people and as JSON.
pub fn exit_statuses(machine: &mut Machine) -> Result<()> {
    machine.write_file("/tmp/wrong.cfg", "nmae = \"x\"")?;
    machine.write_file("/tmp/sitter.cfg", SITTER)?;
    let created = machine.json("tenon create --json /tmp/sitter.cfg")?;
    ensure!(created["name"] == "sitter" && created["id"].as_u64() > Some(0), "created: {created}");
    for (command, status, text) in ENDS {
        let done = machine.run(command, SOON)?;
        let right = done.code == status && done.output.contains(text);
        ensure!(right, "{command}: status {}, not {status} with {text:?}:\n{}", done.code, done.output);
    }
    let refused = machine.run("tenon --json destroy nobody", SOON)?;
    let error: serde_json::Value = serde_json::from_str(&refused.output).context("no JSON")?;
    let text = error["error"].as_str().unwrap_or_default();
    ensure!(refused.code == 4 && error["exit"] == 4 && text.contains("\"nobody\""), "{error}");
    for verb in DONE {
        let done = machine.json(&format!("tenon {verb} --json sitter"))?;
        let word = if verb == "shutdown" { "poweroff" } else { verb };
        ensure!(done["done"] == word && done["name"] == "sitter", "tenon {verb} --json: {done}");
    }
    gone(machine, "sitter")
}

/// The hypervisor's log is shown from its first line on, goes on, and can be emptied.
pub fn dmesg(machine: &mut Machine) -> Result<()> {
    let log = machine.ok("tenon dmesg")?;
    ensure!(log.starts_with("Tenon ") && log.contains(" domain 0: "), "tenon dmesg:\n{log}");
    machine.ok("tenon dmesg --clear")?;
    machine.write_file("/tmp/sitter.cfg", SITTER)?;
    let id = machine.json("tenon create --json /tmp/sitter.cfg")?["id"].to_string();
    machine.ok("tenon destroy sitter")?;
    let lines = machine.json("tenon dmesg --json")?;
    let lines = lines["log"].as_array().context("tenon dmesg --json has no log")?;
    let has = |text: &str| lines.iter().any(|line| line.as_str().is_some_and(|line| line.contains(text)));
    ensure!(has(&format!("d{id} created")), "the log does not say that d{id} was created: {lines:?}");
    ensure!(!has(" domain 0: "), "the log was emptied and has its first lines still: {lines:?}");
    gone(machine, "sitter")
}

/// `tenon console` on domain 0's own terminal: the guest gets every key, Ctrl-C too; Ctrl-] leaves, and the terminal is
/// as it was.
pub fn console(machine: &mut Machine) -> Result<()> {
    bystander::up(machine)?;
    machine.type_in(&format!("tenon console {}\n", bystander::NAME))?;
    // What the guest said before comes first.
    machine.expect("guest: userspace up", SOON)?;
    machine.type_in(
        "(trap 'echo caught-$((1+1)); exit' INT; echo ready-$((1+2)); while :; do sleep 1; done)\n",
    )?;
    machine.expect("ready-3", SOON)?;
    machine.type_in("\x03")?;
    machine.expect("caught-2", SOON)?;
    machine.expect_prompt(PROMPT, SOON)?;
    machine.type_in("\x1d")?;
    machine.expect_prompt(PROMPT, SOON)?;
    machine.type_in("stty -a; cat /proc/cmdline; echo left-$((2+3))\n")?;
    let left = machine.expect("left-5", SOON)?.before;
    let is_set = |flag: &str| left.split_whitespace().any(|word| word == flag);
    ensure!(is_set("icanon") && is_set("isig"), "tenon console left the terminal so:\n{left}");
    ensure!(left.contains("tenon.agent="), "this is not domain 0's shell:\n{left}");
    bystander::is_fine(machine, "console")
}

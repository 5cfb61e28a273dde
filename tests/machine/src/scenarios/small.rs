//! The small test guests (`tests/guests`): each asserts one part of the ABI from inside.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::bystander;
use super::lifecycle::{gone, memory_is_back};
use crate::machine::Machine;

/// What lies beside them: kernels and their initrds, and programs that measure, idle or do their worst.
const OTHERS: [&str; 6] = ["vmlinuz-", "initrd-", "figures", "idle", "busy", "hostile"];

/// What the hostile guest dies of, and what is said of it in the end.
const DEADLY: [(&str, &str); 12] = [
    ("triple-fault", "triple fault"),
    // The guest has a stack for double faults, and says so itself.
    ("nowhere", "unexpected exception 8"),
    ("no-page-tables", "page table at guest-physical"),
    ("bad-page-tables", "triple fault"),
    ("device-as-code", "instruction fetch from guest-physical"),
    ("memory-taken-away", "instruction fetch from guest-physical"),
    ("watchdog", "let its watchdog run out"),
    ("halt", "halted with interrupts off"),
    ("stack-in-hole", "access to guest-physical"),
    ("handlers-in-hole", "access to guest-physical"),
    ("vectors-to-device", "access to guest-physical 0xfee00000"),
    ("impossible-vcpu", "impossible-vcpu is over"),
];

/// What hostile guests do for seconds. They may: the others must not suffer.
const FLOODS: [&str; 6] =
    ["event-flood", "log-flood", "call-loop", "ipi-storm", "store-flood", "console-flood"];

/// Together with domain 0 and the bystander these want more than the machine's two CPUs.
const FLOODERS: [&str; 2] = ["flood", "deluge"];

/// The process numbers of domain 0's daemons.
const DAEMONS: &str = "pidof tenon-xenstored && pidof tenon-consoled && pidof tenon-watchd";

/// Runs every test guest that domain 0 has, and reports the failed tests of all of them.
pub fn all_pass(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
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
    memory_is_back(machine, free)
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

/// A guest with as many vCPUs as one may have; more are refused.
pub fn crowd(machine: &mut Machine) -> Result<()> {
    // The first trace makes the buffers, which stay.
    machine.ok("tenon trace --no-exits --seconds 1 --out /tmp/crowd.json && rm /tmp/crowd.json")?;
    let free = machine.free_kib()?;
    let file = |vcpus| {
        format!("name = \"crowd\"\ntype = \"pvh\"\nkernel = \"/guests/crowd\"\nmemory = 64\nvcpus = {vcpus}")
    };
    machine.write_file("/tmp/crowd.cfg", &file(129))?;
    let refused = machine.run("tenon create /tmp/crowd.cfg", Duration::from_secs(60))?;
    ensure!(refused.code != 0 && refused.output.contains("128"), "129 vCPUs: {}", refused.output);
    machine.write_file("/tmp/crowd.cfg", &file(128))?;
    machine.ok(
        "tenon trace --no-exits --seconds 300 --out /tmp/crowd.json >/dev/null 2>&1 & echo $! >/tmp/tracer",
    )?;
    let created = machine.json("tenon create --json /tmp/crowd.cfg")?;
    let sum = machine.expect("crowd: ", Duration::from_secs(300))?;
    ensure!(sum.line.contains(" 0 failed"), "{}\n{}", sum.line, sum.before);
    // One time everywhere says something only if they really were everywhere.
    machine.ok("kill $(cat /tmp/tracer)")?;
    machine.until("test -e /tmp/crowd.json", Duration::from_secs(60))?;
    let places = format!(
        "grep '\"cat\":\"vcpu\"' /tmp/crowd.json | grep -o '\"d{}v[0-9]*\"\\|\"tid\":[0-9]*' | paste - - | sort -u",
        created["id"]
    );
    let moved = machine.ok(&format!("{places} | grep -o '\"d[0-9v]*\"' | uniq -c | grep -vc ' 1 '"))?;
    ensure!(moved.parse::<u32>()? > 64, "of 128 vCPUs {moved} ran on more than one CPU");
    gone(machine, "crowd")?;
    memory_is_back(machine, free)
}

/// Guests that do their worst end, with a reason in the log; another guest goes on, and all memory is back.
pub fn hostile(machine: &mut Machine) -> Result<()> {
    bystander::up(machine)?;
    let free = machine.free_kib()?;
    for (deed, reason) in DEADLY {
        start(machine, "hostile", deed)?;
        machine.expect(reason, Duration::from_secs(120)).with_context(|| deed.to_owned())?;
        gone(machine, "hostile").with_context(|| deed.to_owned())?;
    }
    memory_is_back(machine, free)?;
    bystander::is_fine(machine, "hostile")
}

/// While guests flood the hypervisor and domain 0's daemons with all they have, another one is served.
pub fn floods(machine: &mut Machine) -> Result<()> {
    bystander::up(machine)?;
    let free = machine.free_kib()?;
    let daemons = machine.ok(DAEMONS)?;
    for deed in FLOODS {
        for name in FLOODERS {
            start(machine, name, deed)?;
        }
        bystander::is_fine(machine, deed)?;
        for name in FLOODERS {
            machine
                .expect(&format!("hostile: {deed} is over"), Duration::from_secs(120))
                .with_context(|| name.to_owned())?;
        }
        for name in FLOODERS {
            gone(machine, name).with_context(|| deed.to_owned())?;
        }
    }
    memory_is_back(machine, free)?;
    ensure!(machine.ok(DAEMONS)? == daemons, "a daemon has been started again");
    bystander::is_fine(machine, "floods")?;
    bystander::leaves(machine)
}

fn start(machine: &mut Machine, name: &str, deed: &str) -> Result<()> {
    let file = format!(
        "name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/hostile\"\ncmdline = \"{deed}\"\n\
         memory = 64\nvcpus = 2\non_crash = \"destroy\"\non_watchdog = \"destroy\""
    );
    machine.write_file("/tmp/hostile.cfg", &file)?;
    machine.ok("tenon create /tmp/hostile.cfg")?;
    Ok(())
}

//! Where vCPUs run, how many, and how much CPU time they get: what the administrator says is what both toolstacks show.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

/// The CPUs that run guests: this test's machine keeps the first one free (`isolcpus=0`).
const ALL: &str = "1-4";

const SOON: Duration = Duration::from_secs(60);

/// Two vCPUs, of which the program uses one.
const PINNED: &str = "name = \"pinned\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\nvcpus = 2\n\
                      cpus = [\"1\", \"2-3\"]\ncpu_weight = 512\ncap = 150\npool = \"Pool-0\"";

/// A command that is refused, its exit status, and why it is.
const REFUSED: [(&str, i32, &str); 8] = [
    ("tenon vcpu-pin pinned 0 9", 1, "CPU 9 does not run guests here; these do: 1-4"),
    ("tenon vcpu-pin pinned 0 1,^1", 1, "\"1,^1\" leaves no CPU"),
    ("tenon vcpu-pin pinned 2 1", 1, "pinned has no vCPU 2: it has 2"),
    ("tenon vcpu-pin pinned 0 3-1", 2, "3-1 is no range"),
    ("tenon vcpu-set pinned 3", 1, "pinned has 2 vCPUs at most, not 3"),
    ("tenon sched pinned --weight 0", 2, "0 is not in 1..=65535"),
    ("tenon sched pinned --cap 201", 1, "a cap of 201 %: pinned has 2 vCPUs, worth 200 %"),
    ("tenon create /tmp/far.cfg", 1, "/tmp/far.cfg: cpus = \"0-4\": CPU 0 does not run guests here"),
];

/// A guest file's keys and every command, on a small guest, domain 0 and a Linux guest.
pub fn controlled(machine: &mut Machine) -> Result<()> {
    machine.write_file("/tmp/pinned.cfg", PINNED)?;
    machine.ok("tenon create /tmp/pinned.cfg")?;
    runs_on(machine, "pinned", &["1", "2-3"])?;
    gets(machine, "pinned", 512, 150)?;
    machine.until(&runs("pinned", 0, 1), SOON).context("vCPU 0 is not on its CPU")?;
    let list = vcpus(machine, "pinned")?;
    ensure!(list[1]["state"] == "offline" && list[1]["cpu"].is_null(), "vCPU 1: {list:?}");

    machine.ok("tenon vcpu-pin pinned all 1-4,^2")?;
    runs_on(machine, "pinned", &["1,3-4", "1,3-4"])?;
    machine.ok("tenon vcpu-pin pinned 1 all")?;
    runs_on(machine, "pinned", &["1,3-4", "all"])?;
    machine.ok("tenon sched pinned --weight 300")?;
    machine.ok("tenon sched pinned --cap 0")?;
    gets(machine, "pinned", 300, 0)?;

    // Debian's tools change the same.
    machine.ok("xl vcpu-pin pinned 0 2-3 1-2")?;
    runs_on(machine, "pinned", &["2-3", "all"])?;
    let list = vcpus(machine, "pinned")?;
    ensure!(list[0]["soft_affinity"] == json!([1, 2]), "soft affinity: {list:?}");
    machine.ok("xl sched-credit -d pinned -w 1000 -c 50")?;
    gets(machine, "pinned", 1000, 50)?;
    let pools = machine.ok("xl cpupool-list")?;
    let pool: Vec<&str> = pools.lines().last().unwrap_or_default().split_whitespace().collect();
    ensure!(pool == ["Pool-0", "4", "credit", "y", "2"], "xl cpupool-list:\n{pools}");

    machine.write_file(
        "/tmp/far.cfg",
        &PINNED.replace("pinned", "far").replace("[\"1\", \"2-3\"]", "\"0-4\""),
    )?;
    for (command, status, text) in REFUSED {
        let done = machine.run(command, SOON)?;
        let right = done.code == status && done.output.contains(text);
        ensure!(right, "{command}: status {}, not {status} with {text:?}:\n{}", done.code, done.output);
    }
    gets(machine, "pinned", 1000, 50)?;
    machine.ok("tenon destroy pinned")?;
    gone(machine, "pinned")?;
    domain_0_too(machine)?;
    linux_gives_a_vcpu_back(machine)
}

fn domain_0_too(machine: &mut Machine) -> Result<()> {
    machine.ok("tenon vcpu-pin 0 3 1 && tenon sched 0 --weight 700")?;
    machine.until(&runs("0", 3, 1), SOON).context("domain 0's vCPU 3 does not move")?;
    runs_on(machine, "Domain-0", &["all", "all", "all", "1"])?;
    gets(machine, "Domain-0", 700, 0)?;
    machine.ok("tenon vcpu-pin 0 3 all && tenon sched 0 --weight 256")?;
    gets(machine, "Domain-0", 256, 0)
}

/// `vcpu-set`: the kernel gives a vCPU back and takes it in again, and never has it on another CPU than it may.
fn linux_gives_a_vcpu_back(machine: &mut Machine) -> Result<()> {
    machine.create(&Guest { vcpus: 2, lines: "cpus = \"1-2\"", ..Guest::new("two") })?;
    machine.guest_says("two", "guest: userspace up, .* cpus 2,", 1)?;
    for (count, state) in [(1, "offline"), (2, "(running|idle|waiting)")] {
        let done = machine.json(&format!("tenon vcpu-set --json two {count}"))?;
        ensure!(done["done"] == "vcpu-set" && done["vcpus"] == count, "tenon vcpu-set: {done}");
        if count == 2 {
            // The kernel takes it in; to switch it on is left to its userspace.
            let online = "echo 1 2>/dev/null > /sys/devices/system/cpu/cpu1/online";
            machine.until_in_guest("two", online, "back")?;
        }
        let list = format!("tenon vcpu-list two | grep -qE \"^two +[0-9]+ +1 +[12-] +{state} \"");
        machine.until(&list, SOON).with_context(|| format!("vCPU 1 is not {state}"))?;
        machine.until_in_guest("two", &format!("test $(nproc) = {count}"), &format!("has-{count}"))?;
    }
    runs_on(machine, "two", &["1-2", "1-2"])?;
    machine.ok("tenon destroy two")?;
    gone(machine, "two")
}

/// A condition: `tenon vcpu-list` has a vCPU on a CPU.
fn runs(name: &str, vcpu: u32, cpu: u32) -> String {
    format!("tenon vcpu-list {name} | grep -qE \"^[^ ]+ +[0-9]+ +{vcpu} +{cpu} \"")
}

fn vcpus(machine: &mut Machine, name: &str) -> Result<Vec<Value>> {
    let list = machine.json(&format!("tenon vcpu-list --json {name}"))?;
    list.as_array().cloned().context("tenon vcpu-list --json prints no list")
}

/// Both toolstacks say that the vCPUs may run on these CPUs.
fn runs_on(machine: &mut Machine, name: &str, wanted: &[&str]) -> Result<()> {
    for tool in ["tenon", "xl"] {
        let list = machine.ok(&format!("{tool} vcpu-list {name}"))?;
        let column = |line: &str| {
            let cpus = line.split_whitespace().nth(6).unwrap_or_default();
            // xl does not know that the first CPU is not for guests.
            if cpus == ALL { "all".to_owned() } else { cpus.to_owned() }
        };
        let found: Vec<String> = list.lines().skip(1).map(column).collect();
        ensure!(found == wanted, "{tool}: {name} may not run on {wanted:?}:\n{list}");
    }
    Ok(())
}

/// Both toolstacks say that a domain has this weight and this cap.
fn gets(machine: &mut Machine, name: &str, weight: u32, cap: u32) -> Result<()> {
    let list = machine.json("tenon sched --json")?;
    let found = list.as_array().and_then(|list| list.iter().find(|domain| domain["name"] == name));
    let found = found.context("tenon sched lacks the domain")?;
    ensure!(found["weight"] == weight && found["cap"] == cap, "not {weight}, {cap}: {found}");
    let line = machine.ok(&format!("xl sched-credit -d {name} | tail -n 1"))?;
    let columns: Vec<&str> = line.split_whitespace().collect();
    ensure!(columns.get(2..) == Some(&[&*weight.to_string(), &*cap.to_string()]), "xl sched-credit: {line}");
    Ok(())
}

//! Where vCPUs run, how many, and how much CPU time they get: what the administrator says is what both toolstacks show.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

const SOON: Duration = Duration::from_secs(60);

/// Two vCPUs, of which the program uses one.
const PINNED: &str = "name = \"pinned\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\nvcpus = 2\n\
                      cpus = [\"1\", \"2-3\"]\ncpu_weight = 512\ncap = 150\npool = \"Pool-0\"";

/// A command that is refused, its exit status, and why it is.
const REFUSED: [(&str, i32, &str); 8] = [
    ("tenon vcpu-pin pinned 0 9", 1, "CPU 9 does not run guests here; these do: 0-3"),
    ("tenon vcpu-pin pinned 0 1,^1", 1, "\"1,^1\" leaves no CPU"),
    ("tenon vcpu-pin pinned 2 1", 1, "pinned has no vCPU 2: it has 2"),
    ("tenon vcpu-pin pinned 0 3-1", 2, "3-1 is no range"),
    ("tenon vcpu-set pinned 3", 1, "pinned has 2 vCPUs at most, not 3"),
    ("tenon sched pinned --weight 0", 2, "0 is not in 1..=65535"),
    ("tenon sched pinned --cap 201", 1, "a cap of 201 %: pinned has 2 vCPUs, worth 200 %"),
    ("tenon create /tmp/far.cfg", 1, "/tmp/far.cfg: cpus = \"0-4\": CPU 4 does not run guests here"),
];

/// A guest file's keys and every command, on a small guest, domain 0 and a Linux guest.
pub fn controlled(machine: &mut Machine) -> Result<()> {
    machine.write_file("/tmp/pinned.cfg", PINNED)?;
    machine.ok("tenon create /tmp/pinned.cfg")?;
    runs_on(machine, "pinned", &[&[1], &[2, 3]])?;
    gets(machine, "pinned", 512, 150)?;
    machine.until(&runs("pinned", 0, 1), SOON).context("vCPU 0 is not on its CPU")?;
    let vcpus = vcpus(machine, "pinned")?;
    ensure!(vcpus[1]["state"] == "offline" && vcpus[1]["cpu"].is_null(), "vCPU 1: {vcpus:?}");

    machine.ok("tenon vcpu-pin pinned all 0-3,^2")?;
    runs_on(machine, "pinned", &[&[0, 1, 3], &[0, 1, 3]])?;
    machine.ok("tenon vcpu-pin pinned 1 all")?;
    runs_on(machine, "pinned", &[&[0, 1, 3], &[0, 1, 2, 3]])?;
    machine.ok("tenon sched pinned --weight 300")?;
    machine.ok("tenon sched pinned --cap 0")?;
    gets(machine, "pinned", 300, 0)?;

    // Debian's tools change the same.
    machine.ok("xl vcpu-pin pinned 0 2-3 1-2")?;
    runs_on(machine, "pinned", &[&[2, 3], &[0, 1, 2, 3]])?;
    let soft = vcpus_of(machine, "pinned", "soft_affinity")?;
    ensure!(soft[0] == [1, 2], "soft affinities: {soft:?}");
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
    machine.ok("tenon vcpu-pin 0 3 0 && tenon sched 0 --weight 700")?;
    machine.until(&runs("0", 3, 0), SOON).context("domain 0's vCPU 3 does not move")?;
    runs_on(machine, "Domain-0", &[&[0, 1, 2, 3], &[0, 1, 2, 3], &[0, 1, 2, 3], &[0]])?;
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
    runs_on(machine, "two", &[&[1, 2], &[1, 2]])?;
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

/// A set of CPUs for each vCPU.
fn vcpus_of(machine: &mut Machine, name: &str, field: &str) -> Result<Vec<Vec<u32>>> {
    let vcpus = vcpus(machine, name)?;
    let sets = vcpus.into_iter().map(|mut vcpu| serde_json::from_value(vcpu[field].take()));
    sets.collect::<Result<_, _>>().with_context(|| format!("{field} is no set of CPUs"))
}

/// Both toolstacks say that the vCPUs may run on these CPUs.
fn runs_on(machine: &mut Machine, name: &str, wanted: &[&[u32]]) -> Result<()> {
    let hard = vcpus_of(machine, name, "hard_affinity")?;
    ensure!(hard == wanted, "tenon vcpu-list: {name} may run on {hard:?}, not on {wanted:?}");
    let list = machine.ok(&format!("xl vcpu-list {name}"))?;
    for (vcpu, cpus) in wanted.iter().enumerate() {
        let line = list.lines().nth(vcpu + 1).unwrap_or_default();
        let columns: Vec<&str> = line.split_whitespace().collect();
        let right =
            columns.get(2) == Some(&&*vcpu.to_string()) && columns.get(6) == Some(&&*as_xl_has_it(cpus));
        ensure!(right, "xl vcpu-list: {name} may not run on {wanted:?}:\n{list}");
    }
    Ok(())
}

/// xl's way to write the sets of this test, on four CPUs.
fn as_xl_has_it(cpus: &[u32]) -> String {
    match cpus {
        [0, 1, 2, 3] => "all".into(),
        [0, 1, 3] => "0-1,3".into(),
        [first, last] => format!("{first}-{last}"),
        _ => cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
    }
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

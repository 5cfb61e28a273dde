//! CPU pools, and CPUs that are switched off and on: what both toolstacks do and show, while a guest computes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

const SOON: Duration = Duration::from_secs(60);

/// A program that waits for ever.
const SITTER: &str = "type = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\n";

/// A command that is refused, its exit status, and why it is. The machine's CPUs are 0 to 4, of which 0 is isolated.
const REFUSED: [(&str, i32, &str); 10] = [
    ("tenon pool add-cpu fast 1", 1, "not all of the CPUs 1 are free; these are: 0"),
    ("tenon pool add-cpu slow 0", 1, "there is no CPU pool \"slow\"; there is Pool-0, fast"),
    ("tenon pool remove-cpu fast 4", 1, "fast has 1 domains and no CPU but 4"),
    ("tenon pool destroy fast", 1, "fast has 1 domains"),
    ("tenon pool destroy 0", 1, "domain 0's CPU pool stays"),
    ("tenon pool create fast", 1, "CPU pool 1 has the name \"fast\""),
    ("tenon pool move 0 fast", 1, "domain 0 stays in its CPU pool"),
    ("tenon cpu off 4", 1, "CPU 4 is in CPU pool fast"),
    ("tenon cpu off 0", 1, "CPU 0 started the machine: it stays on"),
    (
        "tenon create /tmp/lost.cfg",
        1,
        "/tmp/lost.cfg: pool: there is no CPU pool \"slow\"; there is Pool-0, fast",
    ),
];

/// Pools come, change and go by either toolstack, and both agree on them.
pub fn pools(machine: &mut Machine) -> Result<()> {
    machine.ok("tenon pool remove-cpu 0 4")?;
    machine.ok("tenon pool create fast 4")?;
    machine.write_file("/tmp/quick.cfg", &format!("name = \"quick\"\n{SITTER}pool = \"fast\""))?;
    machine.write_file("/tmp/calm.cfg", &format!("name = \"calm\"\n{SITTER}pool = 0"))?;
    machine.write_file("/tmp/lost.cfg", &format!("name = \"lost\"\n{SITTER}pool = \"slow\""))?;
    machine.ok("tenon create /tmp/quick.cfg && tenon create /tmp/calm.cfg")?;
    agree(machine, &[("Pool-0", "1-3", 2), ("fast", "4", 1)])?;
    ensure!(is_on(machine, "quick", 4)? && !is_on(machine, "calm", 4)?, "a guest is outside its pool");
    for (command, status, text) in REFUSED {
        let done = machine.run(command, SOON)?;
        let right = done.code == status && done.output.contains(text);
        ensure!(right, "{command}: status {}, not {status} with {text:?}:\n{}", done.code, done.output);
    }
    machine.ok("tenon pool move calm fast && tenon pool remove-cpu Pool-0 3 && tenon pool add-cpu fast 3")?;
    agree(machine, &[("Pool-0", "1-2", 1), ("fast", "3-4", 2)])?;

    // Debian's tools do the same.
    machine.ok(
        "xl cpupool-migrate quick Pool-0 && xl cpupool-cpu-remove fast 3 && xl cpupool-cpu-add Pool-0 3",
    )?;
    machine.ok("tenon destroy calm && xl cpupool-destroy fast")?;
    gone(machine, "calm")?;
    machine.write_file("/tmp/pool.cfg", "name = \"xls\"\n")?;
    machine
        .ok("xl cpupool-create /tmp/pool.cfg && xl cpupool-cpu-add xls 4 && xl cpupool-migrate quick xls")?;
    agree(machine, &[("Pool-0", "1-3", 1), ("xls", "4", 1)])?;
    machine.ok("tenon pool move quick 0 && tenon pool destroy xls && tenon pool add-cpu 0 4")?;
    agree(machine, &[("Pool-0", "1-4", 2)])?;
    machine.ok("tenon destroy quick")?;
    gone(machine, "quick")
}

/// CPUs go and come back under a guest that computes on all of them, and under domain 0, whose devices go on.
pub fn cpus_off_and_on(machine: &mut Machine) -> Result<()> {
    machine.create(&Guest { vcpus: 4, ..Guest::new("busy") })?;
    machine.guest_up("busy", 1)?;
    let loops = "for i in 1 2 3 4; do (while :; do echo $i > /tmp/alive-$i; done) & done";
    machine.until_in_guest("busy", loops, "computes")?;
    let mut step = 0;
    for (off, on) in [
        ("tenon cpu off 3", "tenon cpu on 3"),
        ("tenon cpu off 2", "tenon cpu on 2"),
        (
            "echo 0 > /sys/devices/system/xen_cpu/xen_cpu4/online",
            "echo 1 > /sys/devices/system/xen_cpu/xen_cpu4/online",
        ),
        (
            "tenon cpu off 2 && tenon cpu off 3 && tenon cpu off 4",
            "tenon cpu on 4 && tenon cpu on 3 && tenon cpu on 2",
        ),
    ] {
        for command in [off, on] {
            machine.ok(command).context("a CPU is not switched")?;
            machine.ok("tenon vcpu-list && tenon top --once >/dev/null")?;
            let fresh =
                "rm -f /tmp/alive-*; until test $(ls /tmp/alive-* 2>/dev/null | wc -l) = 4; do sleep 1; done";
            step += 1;
            machine.until_in_guest("busy", fresh, &format!("goes-on-{step}"))?;
        }
    }
    agree(machine, &[("Pool-0", "1-4", 2)])?;
    machine.ok("tenon destroy busy")?;
    gone(machine, "busy")
}

/// Both toolstacks show these pools with these CPUs, and so many domains.
fn agree(machine: &mut Machine, wanted: &[(&str, &str, u32)]) -> Result<()> {
    let ours = machine.ok("tenon pool list")?;
    let theirs = machine.ok("xl cpupool-list -c")?;
    let counts = machine.ok("xl cpupool-list")?;
    let columns = |text: &str| -> Vec<Vec<String>> {
        text.lines().skip(1).map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let found: Vec<_> = columns(&ours).into_iter().filter(|line| line[0] != "(free)").collect();
    ensure!(found.len() == wanted.len(), "not {wanted:?}:\n{ours}");
    for (i, (name, cpus, domains)) in wanted.iter().enumerate() {
        let right = found[i][0] == *name && found[i][2] == *cpus && found[i][3] == domains.to_string();
        ensure!(right, "not {wanted:?}:\n{ours}");
        let count = columns(&counts).into_iter().find(|line| line[0] == *name);
        ensure!(count.is_some_and(|line| line.last() == Some(&domains.to_string())), "{name}:\n{counts}");
        ensure!(columns(&theirs).iter().any(|line| line[0] == *name), "{name}:\n{theirs}");
    }
    Ok(())
}

/// Whether a guest's vCPU is on a CPU.
fn is_on(machine: &mut Machine, name: &str, cpu: u32) -> Result<bool> {
    let list = machine.json(&format!("tenon vcpu-list --json {name}"))?;
    Ok(list[0]["cpu"] == cpu)
}

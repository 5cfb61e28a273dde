//! Disks of guests: they are there at the start, come, are used, and go.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lifecycle::gone;
use crate::guest::Guest;
use crate::machine::Machine;

/// A command that is refused, its exit status, and why it is.
const REFUSED: [(&str, i32, &str); 8] = [
    ("tenon block-attach store /tmp/b.img,raw,xvdb", 1, "the guest has a disk xvdb already"),
    ("tenon block-attach store /tmp/none.img,raw,xvdc", 1, "/tmp/none.img: No such file"),
    ("tenon block-attach store /tmp,raw,xvdc", 1, "/tmp: neither a file nor a block device"),
    ("tenon block-attach store /tmp/c.img,raw,vdc", 2, "\"vdc\" names no disk"),
    ("tenon block-attach 0 /tmp/c.img,raw,xvdc", 1, "domain 0 serves devices"),
    ("tenon block-detach store xvdz", 1, "the guest has no disk xvdz"),
    ("tenon create /tmp/thief.cfg", 1, "/tmp/thief.cfg: /tmp/a.img: domain"),
    ("tenon create /tmp/lost.cfg", 1, "/tmp/lost.cfg: /tmp/none.img: No such file"),
];

/// A guest keeps a file system on its first disk; others come and go.
pub fn disks(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    machine.ok("cd /tmp && truncate -s 32M a.img && truncate -s 8M b.img c.img && mke2fs -F a.img 2>&1")?;
    let lines = "disk = [\"/tmp/a.img,raw,xvda,rw\"]";
    machine.create(&Guest { lines, ..Guest::with_devices("store") })?;
    machine.guest_up("store", 1)?;
    machine.type_to_guest(
        "store",
        "mount -t ext2 /dev/xvda /tmp && echo kept > /tmp/kept && sync && echo mounted-$((40+2))",
    )?;
    machine.guest_says("store", "^mounted-42", 1)?;

    machine.ok("tenon block-attach store /tmp/b.img raw xvdb")?;
    let disks = listed(machine)?;
    let said =
        |disk: &Value| format!("{} {} {}", disk["vdev"], disk["state"], disk["access"]).replace('"', "");
    let all: Vec<String> = disks.iter().map(said).collect();
    ensure!(all == ["xvda connected rw", "xvdb connected rw"], "the disks are {disks:?}");

    let twin = |name, file| {
        format!(
            "name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\n\
                                     disk = [\"{file},raw,xvda\"]\n"
        )
    };
    machine.write_file("/tmp/thief.cfg", &twin("thief", "/tmp/a.img"))?;
    machine.write_file("/tmp/lost.cfg", &twin("lost", "/tmp/none.img"))?;
    for (command, status, text) in REFUSED {
        let done = machine.run(command, Duration::from_secs(60))?;
        let right = done.code == status && done.output.contains(text);
        ensure!(right, "{command}: status {}, not {status} with {text:?}:\n{}", done.code, done.output);
    }

    // What the guest writes is in the file when it says so, and what it reads is what was in it.
    machine.type_to_guest(
        "store",
        "echo written-by-guest | dd of=/dev/xvdb bs=512 conv=sync,fsync && echo done-$((40+2))",
    )?;
    machine.guest_says("store", "^done-42", 1)?;
    machine.ok("grep -aq written-by-guest /tmp/b.img")?;
    machine.ok("tenon block-detach store xvdb")?;
    machine.until_in_guest("store", "test ! -e /sys/block/xvdb", "detached")?;
    ensure!(listed(machine)?.len() == 1, "a disk that was taken is listed");
    machine.ok("echo written-by-host | dd of=/tmp/c.img conv=notrunc 2>&1 && tenon block-attach store /tmp/c.img,raw,xvdb,r")?;
    machine.until_in_guest("store", "head -c 15 /dev/xvdb | grep -q written-by-host", "read")?;
    machine.until_in_guest("store", "test $(cat /sys/block/xvdb/ro) = 1", "read-only")?;

    // Disks that came later are there after a reboot, too.
    machine.run("tenon reboot --wait --timeout 120 store", Duration::from_secs(150))?;
    machine.guest_up("store", 2)?;
    machine.until_in_guest("store", "test -b /dev/xvda -a -b /dev/xvdb", "both")?;
    machine.type_to_guest("store", "mount -t ext2 /dev/xvda /tmp && cat /tmp/kept")?;
    machine.guest_says("store", "^kept", 1).context("the file system lost a file")?;

    // Destroyed with everything in use: nothing stays open in domain 0.
    machine.ok("tenon destroy store")?;
    gone(machine, "store")?;
    machine.until("test -z \"$(ls /sys/bus/xen-backend/devices)\"", Duration::from_secs(30))?;
    machine.until("! grep -q . /sys/block/loop*/loop/backing_file 2>/dev/null", Duration::from_secs(30))?;
    super::lifecycle::memory_is_back(machine, free)
}

fn listed(machine: &mut Machine) -> Result<Vec<Value>> {
    let listed = machine.json("tenon block-list --json store")?;
    listed.as_array().cloned().with_context(|| format!("no list: {listed}"))
}

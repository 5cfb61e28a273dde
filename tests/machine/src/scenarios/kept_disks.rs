//! Disks that keep what they promised: tenon-blockd is killed, guests crash and are destroyed while they write.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lifecycle::{gone, memory_is_back};
use crate::guest::Guest;
use crate::machine::Machine;

/// Disks that cannot be had, and why.
const REFUSED: [(&str, &str); 3] = [
    ("tenon block-attach user /tmp/e.img,qcow2,xvdc", "/tmp/e.img: this is not a qcow2 image"),
    ("tenon block-attach user /tmp/none,qcow2,xvdc", "/tmp/none: No such file"),
    ("tenon block-attach user /tmp/d.img,raw,xvda,backendtype=qdisk", "the guest has a disk xvda already"),
];

/// A guest has a file system on a raw file and writes to a qcow2 image, both served by the daemon, which is killed
/// meanwhile. What the guest was told to be durable is there after its own destruction.
pub fn survive_the_daemon(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    machine.ok("cd /tmp && truncate -s 32M d.img && truncate -s 8M e.img && mke2fs -F d.img 2>&1")?;
    empty_qcow2(machine, "/tmp/q.img")?;
    let lines = "disk = [\"/tmp/d.img,raw,xvda,rw,backendtype=qdisk\"]";
    machine.create(&Guest { lines, ..Guest::with_devices("user") })?;
    machine.guest_up("user", 1)?;
    machine.until_in_guest("user", "test -b /dev/xvda", "there")?;
    machine.type_to_guest("user", "mkdir /mnt; mount -t ext2 /dev/xvda /mnt && echo mounted-$((40+2))")?;
    machine.guest_says("user", "^mounted-42", 1)?;
    // Once from the page cache, once from the disk.
    machine.type_to_guest(
        "user",
        "dd if=/dev/urandom of=/mnt/f bs=64k count=64 && md5sum /mnt/f > /mnt/sum && umount /mnt && \
         mount -t ext2 /dev/xvda /mnt && md5sum -c /mnt/sum && echo kept-$((40+2))",
    )?;
    machine.guest_says("user", "^kept-42", 1)?;
    for (command, text) in REFUSED {
        let done = machine.run(command, Duration::from_secs(60))?;
        ensure!(done.code == 1 && done.output.contains(text), "{command}: {}:\n{}", done.code, done.output);
    }

    // What the guest does not need any more is domain 0's again.
    machine.type_to_guest("user", "rm /mnt/f && sync && fstrim /mnt && echo trimmed-$((40+2))")?;
    machine.guest_says("user", "^trimmed-42", 1)?;
    machine.ok("test $(du -k /tmp/d.img | cut -f1) -lt 2048")?;

    machine.ok("tenon block-attach user /tmp/e.img,raw,xvdc,backendtype=qdisk")?;
    machine.until_in_guest("user", "test -b /dev/xvdc", "attached")?;
    machine.type_to_guest(
        "user",
        "echo written-by-guest | dd of=/dev/xvdc bs=512 conv=sync,fsync && echo done-$((40+2))",
    )?;
    machine.guest_says("user", "^done-42", 1)?;
    machine.ok("grep -aq written-by-guest /tmp/e.img && tenon block-detach user xvdc")?;
    machine.until_in_guest("user", "test ! -e /sys/block/xvdc", "detached")?;

    machine.ok("tenon block-attach user /tmp/q.img,qcow2,xvdb")?;
    machine.until_in_guest("user", "test -b /dev/xvdb", "image")?;
    start_writing(machine, "user", "xvdb", 3)?;
    for _ in 0..3 {
        let before = machine.ok("pidof tenon-blockd")?;
        machine.ok("kill -9 $(pidof tenon-blockd)")?;
        let again = format!("pidof tenon-blockd && test $(pidof tenon-blockd) != {}", before.trim());
        machine.until(&again, Duration::from_secs(30))?;
        let said = count(machine, "user")? + 3;
        machine.guest_says("user", "^blocks: safe", said)?;
    }
    machine.ok("tenon destroy user")?;
    gone(machine, "user")?;
    let safe = safe(machine, "user")?;
    machine.until("test -z \"$(ls /run/tenon/block)\"", Duration::from_secs(30))?;

    let lines = "disk = [\"/tmp/q.img,qcow2,xvda,ro\"]";
    machine.create(&Guest { lines, ..Guest::with_devices("reader") })?;
    machine.guest_up("reader", 1)?;
    machine.until_in_guest("reader", "test -b /dev/xvda", "there")?;
    machine.type_to_guest("reader", &format!("/init blocks verify /dev/xvda {safe}"))?;
    machine.guest_says("reader", "^blocks: verified", 1)?;
    machine.ok("tenon destroy reader")?;
    gone(machine, "reader")?;
    machine.ok("rm /tmp/d.img /tmp/e.img /tmp/q.img")?;
    memory_is_back(machine, free)
}

/// The same promise of domain 0's kernel: a guest crashes while it writes, starts again, and is destroyed while it
/// writes.
pub fn survive_the_guest(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    machine.ok("truncate -s 8M /tmp/k.img")?;
    let lines = "disk = [\"/tmp/k.img,raw,xvda,rw\"]\non_crash = \"restart\"";
    machine.create(&Guest { lines, ..Guest::with_devices("victim") })?;
    machine.guest_up("victim", 1)?;
    machine.until_in_guest("victim", "test -b /dev/xvda", "first")?;
    start_writing(machine, "victim", "xvda", 3)?;
    machine.type_to_guest("victim", "echo c > /proc/sysrq-trigger")?;
    machine.guest_up("victim", 2)?;
    let safe_then = safe(machine, "victim")?;
    machine.until_in_guest("victim", "test -b /dev/xvda", "second")?;
    machine.type_to_guest("victim", &format!("/init blocks verify /dev/xvda {safe_then}"))?;
    machine.guest_says("victim", "^blocks: verified", 1)?;
    // What is there of the first time must not stand in for what the second one loses.
    machine.type_to_guest(
        "victim",
        "dd if=/dev/zero of=/dev/xvda bs=64k count=64 conv=fsync && echo cleared-$((40+2))",
    )?;
    machine.guest_says("victim", "^cleared-42", 1)?;
    let said = count(machine, "victim")? + 3;
    start_writing(machine, "victim", "xvda", said)?;
    machine.ok("tenon destroy victim")?;
    gone(machine, "victim")?;
    let safe = safe(machine, "victim")?;
    machine.ok(&format!("/init blocks verify /tmp/k.img {safe}"))?;
    machine.ok("rm /tmp/k.img")?;
    memory_is_back(machine, free)
}

/// Has a guest write blocks to a disk, and waits until it has said so often in all that they are safe.
fn start_writing(machine: &mut Machine, guest: &str, disk: &str, said: u32) -> Result<()> {
    machine.type_to_guest(guest, &format!("/init blocks write /dev/{disk} &"))?;
    machine.guest_says(guest, "^blocks: safe", said)
}

/// The last block that a guest said to be safe.
fn safe(machine: &mut Machine, guest: &str) -> Result<u64> {
    let last = format!("grep '^blocks: safe' /var/log/tenon/console/{guest}.log | tail -n 1 | tr -cd 0-9");
    let last = machine.ok(&last)?;
    last.trim().parse().with_context(|| format!("no number: {last}"))
}

fn count(machine: &mut Machine, guest: &str) -> Result<u32> {
    let said = machine.ok(&format!("grep -c '^blocks: safe' /var/log/tenon/console/{guest}.log"))?;
    said.trim().parse().with_context(|| format!("no number: {said}"))
}

/// Makes an empty image of 8 MiB with clusters of 64 KiB: header, table of reference counts, one block of them with the
/// counts of these four clusters, table of tables.
fn empty_qcow2(machine: &mut Machine, path: &str) -> Result<()> {
    let words = |words: &[u32]| {
        let bytes = words.iter().flat_map(|word| word.to_be_bytes());
        bytes.map(|byte| format!("\\{byte:03o}")).collect::<String>()
    };
    let magic = u32::from_be_bytes(*b"QFI\xfb");
    let header = [
        // Version, no backing file, bits of a cluster, size, no encryption.
        [magic, 3, 0, 0, 0, 16, 0, 8 << 20, 0],
        // One L2 table at most, named in cluster 3; one cluster with the table of reference counts, cluster 1.
        [1, 0, 3 << 16, 0, 1 << 16, 1, 0, 0, 0],
        // No features; 16 bits for a count; the header's length.
        [0, 0, 0, 0, 0, 0, 4, 104, 0],
    ];
    let parts = [(0, header.concat()), (1, vec![0, 2 << 16]), (2, vec![0x1_0001, 0x1_0001])];
    machine.ok(&format!("truncate -s 256K {path}"))?;
    for (cluster, part) in parts {
        let text = words(&part);
        machine.ok(&format!("printf '{text}' | dd of={path} bs=64k seek={cluster} conv=notrunc 2>&1"))?;
    }
    Ok(())
}

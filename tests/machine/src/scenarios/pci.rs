//! Domain 0 and PCI: configuration space, memory of devices wherever it is, interrupts that move and are shared.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::config::{Config, Disk};
use crate::machine::Machine;

/// A device with 4 GiB of memory, for which there is room above RAM only.
const LARGE_DEVICE: &str = "/sys/bus/pci/devices/0000:00:0b.0";

/// Adds the device with the large memory, which remembers what is written to it.
pub fn with_large_memory(config: Config) -> Config {
    config.qemu([
        "-object",
        "memory-backend-ram,id=large,size=4G,share=on,reserve=off",
        "-device",
        "ivshmem-plain,memdev=large,addr=0xb",
    ])
}

/// Disks and network cards that send no messages, two to a line.
pub fn with_shared_lines(config: Config) -> Config {
    // The chipset gives devices whose numbers differ by four the same lines.
    config.word("pci=nomsi").disk(Disk::VirtioBlk).disk(Disk::Ahci).disk(Disk::Nvme).qemu([
        "-netdev",
        "user,id=net0",
        "-device",
        "virtio-net-pci,netdev=net0,disable-legacy=on,romfile=,addr=7",
        "-netdev",
        "user,id=net1,net=10.0.3.0/24",
        "-device",
        "e1000e,netdev=net1,romfile=,addr=6",
    ])
}

/// Memory-mapped configuration space is used, and a BAR above all RAM leads to the device's memory.
pub fn configuration(machine: &mut Machine) -> Result<()> {
    machine.ok("dmesg | grep -q 'PCI: MMCONFIG at .* reserved in E820'")?;
    machine.ok(&format!("test $(wc -c < {LARGE_DEVICE}/config) = 256"))?;
    let bar = machine.ok(&format!("sed -n 3p {LARGE_DEVICE}/resource"))?;
    let start = bar.split_whitespace().next().and_then(|word| word.strip_prefix("0x"));
    let start = start.and_then(|digits| u64::from_str_radix(digits, 16).ok()).context("no BAR 2")?;
    ensure!(start >= 1 << 32, "the BAR is at {start:#x}, below 4 GiB");
    machine.ok(&format!("echo 1 > {LARGE_DEVICE}/enable"))?;
    let places = [start, start + (1 << 30), start + (3 << 30) + 0x1234_5678];
    for (value, at) in (0x5eed_0001..).zip(places) {
        machine.ok(&format!("devmem {at:#x} 32 {value:#x}"))?;
    }
    for (value, at) in (0x5eed_0001..).zip(places) {
        let read = machine.ok(&format!("devmem {at:#x} 32"))?;
        ensure!(read.eq_ignore_ascii_case(&format!("{value:#010x}")), "{at:#x} holds {read}, not {value:#x}");
    }
    Ok(())
}

/// The kind of messages that each driver's devices send, by the name that sysfs has for it.
const MESSAGES: [(&str, &str); 4] =
    [("virtio-pci", "msix"), ("nvme", "msix"), ("e1000e", "msix"), ("ahci", "msi")];

/// Disks and cards, used by now, have interrupted by the messages that their drivers like best, not by a line.
pub fn messages_are_used(machine: &mut Machine) -> Result<()> {
    for (driver, kind) in MESSAGES {
        let files = format!("/sys/bus/pci/drivers/{driver}/*:*/msi_irqs/*");
        let kinds = machine.ok(&format!("sort -u {files}"))?;
        ensure!(kinds == kind, "{driver} uses {kinds:?} instead of {kind}");
        let list = format!("for i in {files}; do grep \"^ *${{i##*/}}:\" /proc/interrupts; done");
        let lines = machine.ok(&list)?;
        let taken: u64 = lines.lines().flat_map(counts).sum();
        ensure!(taken > 0, "no message of {driver} has arrived:\n{lines}");
    }
    Ok(())
}

/// Reads by turns from every disk until told to stop.
const READER: &str = "touch /tmp/read; (while [ -e /tmp/read ]; do for d in vda sda nvme0n1; do \
    dd if=/dev/$d of=/dev/null bs=64k count=32 iflag=direct || echo $d >> /tmp/unread; done; done) >/dev/null 2>&1 &";

/// While disks are read, domain 0's vCPUs are moved from CPU to CPU: interrupts find them wherever they are.
pub fn vcpus_move(machine: &mut Machine) -> Result<()> {
    machine.ok(READER)?;
    for cpus in [[1, 2], [3, 4], [2, 1], [4, 4], [1, 3]] {
        for (vcpu, cpu) in cpus.iter().enumerate() {
            machine.ok(&format!("xl vcpu-pin 0 {vcpu} {cpu}"))?;
        }
        let before = disk_interrupts(machine)?;
        machine.ok("for d in vda sda nvme0n1; do \
            dd if=/dev/$d of=/dev/null bs=64k count=32 iflag=direct 2>/dev/null || exit; done; ping -c 2 -A 10.0.2.2")?;
        let on = "$(xl vcpu-list 0 | tail -n +2 | tr -s \" \" | cut -d \" \" -f 4 | xargs)";
        machine
            .until(&format!("test \"{on}\" = \"{} {}\"", cpus[0], cpus[1]), Duration::from_secs(30))
            .with_context(|| format!("pinned to {cpus:?}, but elsewhere"))?;
        let after = disk_interrupts(machine)?;
        let all = before.iter().zip(&after).all(|(before, after)| before < after);
        ensure!(
            all && after.len() == DISKS.len(),
            "on {cpus:?}: {before:?} interrupts before, {after:?} after"
        );
    }
    machine.ok("xl vcpu-pin 0 all all")?;
    machine.ok("rm /tmp/read; ! cat /tmp/unread")?;
    no_timeouts(machine)
}

/// What the disks' interrupts are called in `/proc/interrupts`.
const DISKS: [&str; 3] = ["virtio.*-req", "ahci", "nvme0q[1-9]"];

/// How many interrupts each disk has caused.
fn disk_interrupts(machine: &mut Machine) -> Result<Vec<u64>> {
    let mut sums = Vec::new();
    for disk in DISKS {
        let lines = machine.ok(&format!("grep '{disk}' /proc/interrupts"))?;
        sums.push(lines.lines().flat_map(counts).sum());
    }
    Ok(sums)
}

/// No driver has missed an interrupt for so long that it complained.
fn no_timeouts(machine: &mut Machine) -> Result<()> {
    machine
        .ok("! dmesg | grep -E 'ata[0-9.]*: (exception|.*timeout)|nvme.*(timeout|polled)|NETDEV WATCHDOG'")?;
    Ok(())
}

/// While a disk is read, its interrupts are moved from vCPU to vCPU: each gets some, and none is lost.
pub fn interrupts_move(machine: &mut Machine) -> Result<()> {
    machine.ok("modprobe -a ahci sd_mod")?;
    machine.until("test -b /dev/sda", Duration::from_secs(30))?;
    let line = "grep -m1 ahci /proc/interrupts";
    let number = machine.ok(&format!("{line} | cut -d: -f1 | tr -d ' '"))?;
    for vcpu in [1, 2, 1, 2] {
        let before = counts(&machine.ok(line)?);
        machine.ok(&format!("echo {vcpu} > /proc/irq/{number}/smp_affinity"))?;
        machine.ok("dd if=/dev/sda of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null")?;
        let after = counts(&machine.ok(line)?);
        let index = vcpu - 1;
        let (before, after) = (before.get(index).copied(), after.get(index).copied());
        ensure!(before < after, "vCPU {index} got no interrupt of the disk: {before:?}, {after:?}");
    }
    no_timeouts(machine)
}

/// Lines are level-triggered and shared.
pub fn lines_are_shared(machine: &mut Machine) -> Result<()> {
    machine.ok("modprobe -a virtio_pci virtio_blk nvme virtio_net e1000e")?;
    machine.ok("for card in eth0 eth1; do ifconfig $card up; done")?;
    machine.until("grep fasteoi /proc/interrupts | grep -q virtio.*eth", Duration::from_secs(20))?;
    machine.until("grep fasteoi /proc/interrupts | grep -q nvme.*virtio", Duration::from_secs(20))?;
    machine.ok("! grep -q MSI /proc/interrupts")?;
    Ok(())
}

/// The numbers of a line of `/proc/interrupts`, one per vCPU.
fn counts(line: &str) -> Vec<u64> {
    line.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect()
}

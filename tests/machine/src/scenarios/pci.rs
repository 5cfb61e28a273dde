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
    machine.ok("! dmesg | grep -E 'ata[0-9.]*: (exception|.*timeout)'")?;
    Ok(())
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

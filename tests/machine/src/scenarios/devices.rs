//! Domain 0 owns the hardware: disks, networks, clock, power button.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::machine::Machine;

/// What is written to a disk is read back, past all caches.
pub fn disks(machine: &mut Machine) -> Result<()> {
    machine.ok("modprobe -a virtio_pci virtio_blk ahci sd_mod nvme")?;
    for disk in ["vda", "sda", "nvme0n1"] {
        machine.until(&format!("test -b /dev/{disk}"), Duration::from_secs(30))?;
        machine.ok("dd if=/dev/urandom of=/tmp/pattern bs=1M count=16 2>/dev/null")?;
        machine.ok(&format!("dd if=/tmp/pattern of=/dev/{disk} bs=1M conv=fsync 2>/dev/null"))?;
        machine.ok("echo 3 > /proc/sys/vm/drop_caches")?;
        machine.ok(&format!("dd if=/dev/{disk} bs=1M count=16 2>/dev/null | cmp - /tmp/pattern"))?;
    }
    Ok(())
}

/// Packets go out and answers come back.
pub fn networks(machine: &mut Machine) -> Result<()> {
    machine.ok("modprobe -a virtio_net e1000e")?;
    for (driver, net) in [("virtio_net", "10.0.2"), ("e1000e", "10.0.3")] {
        let find = format!("ls -d /sys/bus/*/drivers/{driver}/*/net/* | sed s,.*/,,");
        machine.until(&format!("test -n \"$({find})\""), Duration::from_secs(30))?;
        let card = machine.ok(&find)?;
        machine.ok(&format!("ifconfig {card} {net}.15 netmask 255.255.255.0 up"))?;
        machine.until(&format!("ping -c 1 -W 2 {net}.2"), Duration::from_secs(60))?;
        machine.ok(&format!("ping -c 5 -A {net}.2"))?;
    }
    Ok(())
}

/// The button is an ACPI event: an interrupt that is level-triggered and may be shared.
pub fn power_button(machine: &mut Machine) -> Result<()> {
    machine.ok("modprobe -a button evdev")?;
    let find = "grep -A 4 'Power Button' /proc/bus/input/devices | grep -o -m 1 'event[0-9]*'";
    let event = machine.ok(find)?;
    // One event of struct input_event; the reader says when it has the device open.
    let reader =
        format!("(exec 3< /dev/input/{event}; touch /tmp/ready; timeout 60 head -c 24 <&3 > /tmp/pressed)");
    machine.ok(&format!("{reader} >/dev/null 2>&1 &"))?;
    machine.until("test -e /tmp/ready", Duration::from_secs(30))?;
    machine.monitor("system_powerdown")?;
    let pressed = machine.until("test -s /tmp/pressed", Duration::from_secs(30));
    pressed.or_else(|_| {
        let interrupts = machine.ok("grep -i acpi /proc/interrupts; cat /proc/bus/input/devices")?;
        bail!("the button was pressed, but domain 0 got no event:\n{interrupts}")
    })
}

/// The clock of the machine is domain 0's.
pub fn clock(machine: &mut Machine) -> Result<()> {
    machine.ok("hwclock -r -u || cat /sys/class/rtc/rtc0/time")?;
    let year = machine.ok("date +%Y")?.parse::<u32>()?;
    ensure!(year >= 2024, "domain 0 thinks it is {year}");
    Ok(())
}

//! A whole Debian system as a guest: GRUB finds the kernel on the guest's own disk, which is also its root.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::lifecycle::gone;
use crate::machine::Machine;

const GUEST: &str = "\
name = \"debian\"
type = \"pvh\"
kernel = \"/guests/grub\"
memory = 768
disk = [\"/dev/vda,raw,xvda,rw\"]
on_reboot = \"restart\"
";

/// It boots to a login, keeps what is written through a reboot, and powers off when it is asked to.
pub fn boots_from_its_own_disk(machine: &mut Machine) -> Result<()> {
    machine.ok("modprobe -a virtio_pci virtio_blk")?;
    machine.until("test -b /dev/vda", Duration::from_secs(30))?;
    machine.write_file("/tmp/debian.cfg", GUEST)?;
    machine.ok("tenon create /tmp/debian.cfg")?;
    log_in(machine, 1)?;
    machine.type_to_guest(
        "debian",
        "findmnt -n -o SOURCE,FSTYPE / && echo kept > /root/kept && echo wrote-$((40+2))",
    )?;
    machine.guest_says("debian", "^wrote-42", 1)?;
    machine.guest_says("debian", "/dev/xvda *ext4", 1)?;

    machine.run("tenon reboot --wait --timeout 300 debian", Duration::from_secs(320))?;
    log_in(machine, 2)?;
    machine.type_to_guest("debian", "echo is-$(cat /root/kept)")?;
    machine.guest_says("debian", "is-kept", 1)?;

    let done = machine.run("tenon shutdown --wait --timeout 300 debian", Duration::from_secs(320))?;
    ensure!(done.code == 0, "it does not power off:\n{}", done.output);
    gone(machine, "debian")
}

fn log_in(machine: &mut Machine, times: u32) -> Result<()> {
    machine.guest_says("debian", "login:", times)?;
    machine.type_to_guest("debian", "root")?;
    machine.guest_says("debian", "root@", times)
}

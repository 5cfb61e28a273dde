//! The initrds: what is in domain 0 and what is in a guest.
//!
//! They are not compressed: unpacking costs the kernel far more instructions than copying, and nobody
//! waits for a disk here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::{busybox, modules, scenarios};
use crate::apt::Arch;
use crate::build::Inits;
use crate::kernels::{Kernel, Series};
use crate::workspace::Workspace;

/// Modules without which domain 0 is none: what the tools need.
const NEEDED_MODULES: [&str; 5] = ["xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs"];

/// More modules of domain 0: the back ends, and drivers for the devices of the tests.
const DOM0_MODULES: [&str; 18] = [
    "xen-blkback",
    "xen-netback",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "e1000e",
    "ahci",
    "sd_mod",
    "nvme",
    "i2c_i801",
    "loop",
    "brd",
    "bridge",
    "evdev",
    "button",
    "8250_pci",
    "rtc_cmos",
];

/// The front ends of a guest, and the file system of its disks.
const GUEST_MODULES: [&str; 4] = ["xen-blkfront", "xen-netfront", "crc32c_generic", "ext4"];

/// Writes the initrd of a guest with disks and network cards: drivers, and all that busybox knows.
fn guest_with_devices(ws: &Workspace, inits: &Inits, kernel: &Kernel, series: Series) -> Result<PathBuf> {
    let mut archive = Archive::default();
    skeleton(&mut archive);
    add_init(&mut archive, &inits.guest)?;
    busybox::add_whole(&mut archive, ws)?;
    modules::add(&mut archive, kernel, &GUEST_MODULES, &[])?;
    write(ws, &format!("guest-{}-devices.cpio", series.name()), archive)
}

/// Writes a guest's initrd: a static init, a shell, nothing else.
pub fn guest(ws: &Workspace, inits: &Inits, arch: Arch) -> Result<PathBuf> {
    let mut archive = Archive::default();
    skeleton(&mut archive);
    let init = match arch {
        Arch::Amd64 => &inits.guest,
        Arch::I386 => &inits.guest_i386,
    };
    add_init(&mut archive, init)?;
    busybox::add_small(&mut archive, ws, arch)?;
    write(ws, &format!("guest-{}.cpio", arch.name()), archive)
}

/// Writes domain 0's initrd for `kernel`, with `guests` to start in it.
pub fn dom0(ws: &Workspace, inits: &Inits, kernel: &Kernel, guests: &[(Series, Kernel)]) -> Result<PathBuf> {
    let mut archive = Archive::default();
    skeleton(&mut archive);
    add_init(&mut archive, &inits.dom0)?;
    busybox::add_whole(&mut archive, ws)?;
    modules::add(&mut archive, kernel, &NEEDED_MODULES, &DOM0_MODULES)?;
    add_directory(&mut archive, &ws.dist().join("bin"), "usr/sbin")?;
    add_directory(&mut archive, &ws.dist().join("guests"), "guests")?;
    for (series, guest) in guests {
        let arch = series.arch();
        let name = series.name();
        archive.file(&format!("guests/vmlinuz-{name}"), &read(&guest.vmlinuz)?);
        let initrd = self::guest(ws, inits, arch)?;
        archive.file(&format!("guests/initrd-{name}"), &read(&initrd)?);
        if arch == Arch::Amd64 {
            let initrd = guest_with_devices(ws, inits, guest, *series)?;
            archive.file(&format!("guests/initrd-{name}-devices"), &read(&initrd)?);
        }
    }
    let names: Vec<&str> = guests.iter().map(|(series, _)| series.name()).collect();
    for (name, text) in scenarios::guest_files(&names) {
        archive.file(&format!("etc/tenon/{name}.cfg"), text.as_bytes());
    }
    for (name, commands) in scenarios::all() {
        archive.file(&format!("scenarios/{name}"), commands.as_bytes());
    }
    write(ws, &format!("dom0-{}.cpio", kernel.release), archive)
}

fn skeleton(archive: &mut Archive) {
    for directory in
        ["proc", "sys", "dev", "run", "tmp", "root", "bin", "sbin", "usr/sbin", "etc", "var/log", "var/lock"]
    {
        archive.directory(directory);
    }
    archive.character_device("dev/console", 5, 1);
    archive.character_device("dev/null", 1, 3);
    archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", b"root:x:0:\n");
}

fn add_init(archive: &mut Archive, program: &Path) -> Result<()> {
    archive.program("init", &read(program)?);
    for name in ["poweroff", "reboot", "halt"] {
        archive.link(&format!("sbin/{name}"), "/init");
    }
    Ok(())
}

/// Adds the files of a directory of programs, if there is one.
fn add_directory(archive: &mut Archive, from: &Path, to: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.program(&format!("{to}/{name}"), &read(&path)?);
    }
    Ok(())
}

fn write(ws: &Workspace, name: &str, archive: Archive) -> Result<PathBuf> {
    let path = ws.images().join(name);
    fs::create_dir_all(ws.images())?;
    fs::write(&path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

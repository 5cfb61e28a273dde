//! A Debian system on a disk of its own, kernel and boot loader's configuration included, and the boot loader: GRUB as a
//! PVH guest's kernel, which finds the rest on the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use crate::apt::{Apt, Arch};
use crate::packages::{self, Need};
use crate::step;
use crate::workspace::Workspace;

const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Beside what every Debian has.
const PACKAGES: &str = "--include=linux-image-amd64,systemd-sysv,udev,util-linux,iproute2";

/// What GRUB reads: `/vmlinuz` and `/initrd.img` are links that the kernel's package makes.
const GRUB_CFG: &str = "\
set timeout=0
menuentry Debian {
    linux /vmlinuz root=/dev/xvda rw console=hvc0
    initrd /initrd.img
}
";

/// GRUB in the package `grub-xen-host`.
const GRUB: &str = "usr/lib/grub-xen/grub-i386-xen_pvh.bin";

/// The disk: one file system without a partition table. Kept in the cache.
pub fn disk(ws: &Workspace) -> Result<PathBuf> {
    let disk = ws.cache().join("debian").join("disk.ext4");
    if disk.exists() {
        return Ok(disk);
    }
    packages::ensure(&[Need::Debian])?;
    let prefix =
        packages::privilege()?.context("making a Debian system takes root, or sudo without a password")?;
    let dir = disk.parent().context("a file is in a directory")?;
    let (root, partial) = (dir.join("root"), dir.join("disk.partial"));
    fs::create_dir_all(dir)?;
    step::say("making a Debian system with debootstrap (kept in target/cache)");
    as_root(prefix, &["rm", "-rf"], &[&root])?;
    as_root(prefix, &["debootstrap", "--variant=minbase", PACKAGES, SUITE], &[&root, Path::new(MIRROR)])?;
    let config = dir.join("grub.cfg");
    fs::write(&config, GRUB_CFG)?;
    as_root(prefix, &["install", "-D", "-m", "644"], &[&config, &root.join("boot/grub/grub.cfg")])?;
    // Whoever sits at the console is root without a password: this machine is for tests.
    as_root(prefix, &["chroot"], &[&root, Path::new("passwd"), Path::new("-d"), Path::new("root")])?;
    step::say("packing its disk");
    as_root(prefix, &["mke2fs", "-q", "-t", "ext4", "-F", "-d"], &[&root, &partial, Path::new("1500M")])?;
    as_root(prefix, &["rm", "-rf"], &[&root])?;
    fs::rename(&partial, &disk)?;
    Ok(disk)
}

/// GRUB as `/guests/grub`, in an archive to put behind domain 0's initrd.
pub fn grub(ws: &Workspace) -> Result<Vec<u8>> {
    let dir = ws.cache().join("grub-xen-host");
    Apt::open(&ws.cache(), Arch::Amd64)?.unpack("grub-xen-host", &dir)?;
    let path = dir.join(GRUB);
    let mut archive = Archive::default();
    archive.file("guests/grub", &fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    Ok(archive.finish())
}

fn as_root(prefix: &[&str], words: &[&str], paths: &[&Path]) -> Result<()> {
    let mut all = prefix.iter().chain(words);
    let program = all.next().context("a command has a name")?;
    step::run(Command::new(program).args(all).args(paths))
}

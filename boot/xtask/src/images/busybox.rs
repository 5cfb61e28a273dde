//! The shell and its friends: Debian's static busybox, unpacked from its package.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use crate::apt::{Apt, Arch};
use crate::step;
use crate::workspace::Workspace;

/// What a guest's shell offers. Few, because every link costs time when the kernel unpacks the initrd.
const SMALL: [&str; 32] = [
    "ash", "cat", "date", "dd", "dmesg", "echo", "env", "false", "free", "grep", "head", "kill", "ls",
    "md5sum", "mkdir", "mount", "nproc", "ps", "pwd", "rm", "sed", "seq", "setsid", "sh", "sleep", "stty",
    "sync", "tail", "top", "true", "uname", "wc",
];

/// A guest's: busybox and a few names.
pub fn add_small(archive: &mut Archive, ws: &Workspace, arch: Arch) -> Result<()> {
    archive.program("bin/busybox", &program(ws, arch)?);
    for name in SMALL {
        archive.link(&format!("bin/{name}"), "busybox");
    }
    Ok(())
}

/// Domain 0's: everything that busybox knows, at the usual places.
pub fn add_whole(archive: &mut Archive, ws: &Workspace) -> Result<()> {
    archive.program("bin/busybox", &program(ws, Arch::Amd64)?);
    let list = step::output(Command::new(path(ws, Arch::Amd64)?).arg("--list-full"))?;
    for path in list.lines() {
        let ours = ["sbin/init", "sbin/poweroff", "sbin/reboot", "sbin/halt", "bin/busybox"];
        if !ours.contains(&path) {
            archive.link(path, "/bin/busybox");
        }
    }
    Ok(())
}

fn program(ws: &Workspace, arch: Arch) -> Result<Vec<u8>> {
    let path = path(ws, arch)?;
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn path(ws: &Workspace, arch: Arch) -> Result<std::path::PathBuf> {
    let dir = ws.cache().join("busybox").join(arch.name());
    if !dir.exists() {
        Apt::open(&ws.cache(), arch)?.unpack("busybox-static", &dir)?;
    }
    Ok(dir.join("bin/busybox"))
}

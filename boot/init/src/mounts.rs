//! The kernel's file systems.

use std::ffi::CString;
use std::fs;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

/// proc, sys, dev (with pts), run and tmp.
pub fn basic() -> Result<()> {
    filesystem("proc", "/proc")?;
    filesystem("sysfs", "/sys")?;
    filesystem("devtmpfs", "/dev")?;
    filesystem("devpts", "/dev/pts")?;
    filesystem("tmpfs", "/run")?;
    filesystem("tmpfs", "/tmp")
}

/// Xen's file system: the kernel says there that it is the control domain.
pub fn xenfs() -> Result<()> {
    filesystem("xenfs", "/proc/xen")
}

fn filesystem(kind: &str, target: &str) -> Result<()> {
    // /proc/xen exists already and nothing can be created there.
    if fs::metadata(target).is_err() {
        fs::create_dir_all(target).with_context(|| format!("cannot create {target}"))?;
    }
    let data: Option<CString> = None;
    match mount(kind, target, kind, MountFlags::empty(), data.as_deref()) {
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot mount {kind} on {target}")),
    }
}

//! Kernel modules.

use std::process::Command;

use anyhow::{Context, Result};

use crate::agent;

/// Loads modules, with what they depend on.
///
/// # Errors
/// If modprobe is not there or does not find one.
pub fn load(modules: &[&str]) -> Result<()> {
    let status = Command::new("/sbin/modprobe").arg("-a").args(modules).env("PATH", agent::PATH).status();
    let status = status.context("cannot start modprobe")?;
    anyhow::ensure!(status.success(), "modprobe {}: {status}", modules.join(" "));
    Ok(())
}

//! Debian packages: which verb needs which, and how the missing ones are installed.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step;

/// What a verb is about to do, and so needs programs for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Making GRUB boot images.
    Images,
    /// Running machines under QEMU.
    Qemu,
    /// Running machines under Bochs.
    Bochs,
    /// Comparing `hypercall-abi` with Debian's headers.
    AbiHeaders,
    /// Trying the xenstore daemon with Debian's own clients.
    XenstoreClients,
    /// Holding our disk images against QEMU's.
    DiskImages,
    /// Building libFuzzer.
    Fuzz,
    /// Making a Debian system.
    Debian,
}

impl Need {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Images => &["grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "xorriso", "mtools"],
            Self::Qemu => &["qemu-system-x86", "seabios", "ovmf", "e2fsprogs"],
            Self::Bochs => &["bochs", "bochsbios", "vgabios", "seabios"],
            Self::AbiHeaders => &["gcc", "libc6-dev", "libxen-dev"],
            Self::DiskImages => &["qemu-utils"],
            Self::Fuzz => &["g++"],
            Self::Debian => &["debootstrap", "e2fsprogs"],
            Self::XenstoreClients => &["xenstore-utils"],
        }
    }
}

/// Installs what is missing, or says exactly what to install where we may not.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    for package in needs.iter().flat_map(|need| need.packages()) {
        if !missing.contains(package) && !is_installed(package)? {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let Some(prefix) = privilege()? else {
        bail!(
            "missing packages, and neither root nor sudo without a password. Please run:\n\n    \
             sudo apt-get update && sudo apt-get install --no-install-recommends {}\n",
            missing.join(" ")
        );
    };
    step::say(format!("installing Debian packages: {}", missing.join(" ")));
    step::run(apt_get(prefix).arg("update"))?;
    step::run(apt_get(prefix).args(["install", "-y", "--no-install-recommends"]).args(&missing))
}

fn is_installed(package: &str) -> Result<bool> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .output()
        .context("cannot start dpkg-query: this is for Debian and its descendants")?;
    Ok(output.stdout == b"installed")
}

/// The command in front of apt-get that makes us root, if there is a way without a question.
pub fn privilege() -> Result<Option<&'static [&'static str]>> {
    if step::output(Command::new("id").arg("-u"))?.trim() == "0" {
        return Ok(Some(&[]));
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).output();
    Ok(sudo.is_ok_and(|o| o.status.success()).then_some(&["sudo", "-n"]))
}

fn apt_get(prefix: &[&str]) -> Command {
    let words: Vec<&str> =
        prefix.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

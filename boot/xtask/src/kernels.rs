//! Debian's kernels: fetched, unpacked below `target/cache/kernels`, never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;

use crate::apt::{Apt, Arch};
use crate::workspace::Workspace;

/// The kernels that domain 0 and guests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Series {
    /// Debian 12's own.
    #[value(name = "6.1")]
    V6_1,
    /// The newer one that Debian 12 gets through bookworm-security and bookworm-backports.
    #[value(name = "6.12")]
    V6_12,
    /// The 32-bit kernel with PAE; guests only.
    #[value(name = "686-pae")]
    Pae,
}

impl Series {
    pub const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::Pae];

    /// The name on command lines and of files in domain 0.
    pub fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Pae => "686-pae",
        }
    }

    pub fn arch(self) -> Arch {
        self.meta_package().0
    }

    fn meta_package(self) -> (Arch, &'static str) {
        match self {
            Self::V6_1 => (Arch::Amd64, "linux-image-amd64"),
            Self::V6_12 => (Arch::Amd64, "linux-image-6.12-amd64"),
            Self::Pae => (Arch::I386, "linux-image-686-pae"),
        }
    }
}

/// An unpacked kernel package.
#[derive(Clone)]
pub struct Kernel {
    /// What `uname -r` prints.
    pub release: String,
    pub vmlinuz: PathBuf,
    /// `lib/modules/RELEASE` of the package.
    pub modules: PathBuf,
}

/// Fetches a kernel unless the cache has it. The cached one is used even when Debian has a newer one.
pub fn fetch(ws: &Workspace, series: Series) -> Result<Kernel> {
    let dir = ws.cache().join("kernels").join(series.name());
    if !dir.exists() {
        let (arch, meta) = series.meta_package();
        let apt = Apt::open(&ws.cache(), arch)?;
        let package = apt.first_dependency(meta)?.ok_or_else(|| {
            anyhow!(
                "no apt source of this machine has {meta}. Debian 12 has it in \
                 `deb http://deb.debian.org/debian-security bookworm-security main`"
            )
        })?;
        apt.unpack(&package, &dir)?;
    }
    unpacked(&dir)
}

fn unpacked(dir: &Path) -> Result<Kernel> {
    for entry in
        fs::read_dir(dir.join("boot")).with_context(|| format!("{} is no kernel package", dir.display()))?
    {
        let vmlinuz = entry?.path();
        let name = vmlinuz.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(release) = name.strip_prefix("vmlinuz-") {
            let modules = dir.join("lib/modules").join(release);
            return Ok(Kernel { release: release.to_owned(), vmlinuz, modules });
        }
    }
    anyhow::bail!("{} has no boot/vmlinuz-*", dir.display())
}

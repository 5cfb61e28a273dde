//! Debian's kernels: fetched, unpacked below `target/cache/kernels`, never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
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

/// The kernel of a file: a bzImage, whose modules lie as a package has them or where the system keeps them.
pub fn from_file(vmlinuz: &Path) -> Result<Kernel> {
    let image = fs::read(vmlinuz).with_context(|| format!("cannot read {}", vmlinuz.display()))?;
    let release = release(&image)
        .with_context(|| format!("{}: not a bzImage that names its release", vmlinuz.display()))?;
    // The directory of a bare file name is the empty path.
    let beside = vmlinuz.parent().unwrap_or(Path::new("")).join("../lib/modules").join(&release);
    let places = [beside, Path::new("/lib/modules").join(&release)];
    let Some(modules) = places.iter().find(|place| place.is_dir()) else {
        let [beside, system] = places.each_ref().map(|place| place.display());
        bail!("{}: no modules of {release}, neither in {beside} nor in {system}", vmlinuz.display());
    };
    Ok(Kernel { release, modules: modules.clone(), vmlinuz: vmlinuz.to_path_buf() })
}

/// The release that the setup header names (Linux `Documentation/x86/boot.rst`, `kernel_version`): the first word of a
/// text whose offset counts from the end of the boot sector.
fn release(image: &[u8]) -> Option<String> {
    const MAGIC: usize = 0x202;
    const KERNEL_VERSION: usize = 0x20e;
    const BOOT_SECTOR: usize = 0x200;
    if image.get(MAGIC..)?.get(..4)? != b"HdrS" {
        return None;
    }
    let offset = u16::from_le_bytes(*image.get(KERNEL_VERSION..)?.first_chunk()?);
    let text = image.get(BOOT_SECTOR + usize::from(offset)..)?;
    let end = text.iter().position(|byte| matches!(byte, 0 | b' '))?;
    let release = std::str::from_utf8(&text[..end]).ok()?;
    // It becomes part of a path.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    (offset != 0 && !release.is_empty() && release.chars().all(plain)).then(|| release.to_owned())
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
    bail!("{} has no boot/vmlinuz-*", dir.display())
}

#[cfg(test)]
mod tests {
    use super::release;

    fn image(offset: u16, text: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&offset.to_le_bytes());
        image.extend_from_slice(text);
        image
    }

    #[test]
    fn a_kernel_names_its_release() {
        let named = image(0x200, b"6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP\0");
        assert_eq!(release(&named).as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(release(&image(0x200, b"6.12.9+\0")).as_deref(), Some("6.12.9+"));
    }

    #[test]
    fn what_names_none_is_refused() {
        assert_eq!(release(b"\x7fELF"), None);
        assert_eq!(release(&image(0, b"6.1\0")), None, "no version");
        assert_eq!(release(&image(0x200, b"6.1")), None, "no end");
        assert_eq!(release(&image(0xffff, b"6.1\0")), None, "outside");
        assert_eq!(release(&image(0x200, b"../../etc\0")), None, "a path");
    }
}

//! A private apt: fetches and unpacks packages of one architecture without installing them.
//!
//! It uses the machine's own sources and keys but keeps its lists below `target/cache`, so the system's
//! state, its architectures included, stays as it is and no privilege is needed. apt checks every
//! file against the signed release files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step;

/// Debian's name of an architecture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    Amd64,
    I386,
}

impl Arch {
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
        }
    }
}

/// The lists of one architecture: apt drops a whole source when the list of any architecture is broken.
pub struct Apt {
    arch: Arch,
    dir: PathBuf,
}

impl Apt {
    /// Opens the private state below `cache`; package lists are fetched the first time.
    pub fn open(cache: &Path, arch: Arch) -> Result<Self> {
        let apt = Self { arch, dir: cache.join("apt").join(arch.name()) };
        for dir in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(apt.dir.join(dir))?;
        }
        fs::write(apt.dir.join("status"), "")?;
        let fresh = apt.dir.join("lists.complete");
        if !fresh.exists() {
            apt.update()?;
            fs::write(fresh, "")?;
        }
        Ok(apt)
    }

    /// Fetches the package lists. A source that fails is apt's to report: what counts is whether the
    /// packages that we want are found.
    fn update(&self) -> Result<()> {
        step::say(format!("fetching Debian package lists for {} (kept in target/cache)", self.arch.name()));
        self.command("apt-get").arg("update").status().context("cannot start apt-get")?;
        Ok(())
    }

    /// The version that apt would install, if any source has the package.
    pub fn candidate(&self, package: &str) -> Result<Option<String>> {
        Ok(field(&self.show(package)?, "Version"))
    }

    /// The first dependency of a meta package: `linux-image-amd64` names the current kernel so.
    pub fn first_dependency(&self, package: &str) -> Result<Option<String>> {
        let depends = field(&self.show(package)?, "Depends");
        Ok(depends.and_then(|d| d.split([' ', ',']).next().map(str::to_owned)))
    }

    fn show(&self, package: &str) -> Result<String> {
        let output = self.command("apt-cache").args(["show", "--no-all-versions", package]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Downloads a package and unpacks it to `to`, which appears whole or not at all.
    pub fn unpack(&self, package: &str, to: &Path) -> Result<()> {
        if to.exists() {
            return Ok(());
        }
        if self.candidate(package)?.is_none() {
            self.update()?;
        }
        let Some(version) = self.candidate(package)? else {
            bail!(
                "no apt source of this machine has {package}: add bookworm, bookworm-updates and bookworm-security"
            );
        };
        step::say(format!("downloading {package} {version}"));
        let debs = self.dir.join("debs");
        step::run(self.command("apt-get").current_dir(&debs).args(["download", package]))?;
        let deb = downloaded(&debs, package)?;
        step::say(format!("unpacking {}", deb.display()));
        let partial = to.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        step::run(Command::new("dpkg").arg("-x").arg(&deb).arg(&partial))?;
        fs::rename(&partial, to)?;
        fs::remove_file(deb)?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let dir = self.dir.display();
        for (name, value) in [
            ("Dir::State", format!("{dir}/")),
            ("Dir::State::lists", format!("{dir}/lists")),
            ("Dir::State::status", format!("{dir}/status")),
            ("Dir::Cache", format!("{dir}/cache")),
            ("APT::Architecture", self.arch.name().into()),
            ("APT::Architectures", self.arch.name().into()),
            // The unprivileged user of apt's sandbox cannot reach a private directory.
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
        ] {
            command.arg("-o").arg(format!("{name}={value}"));
        }
        command
    }
}

/// The package file: apt names it `name_version_arch.deb`.
fn downloaded(debs: &Path, package: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(debs)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file.starts_with(&format!("{package}_")) && file.ends_with(".deb") {
            return Ok(path);
        }
    }
    bail!("apt-get download left no file for {package} in {}", debs.display())
}

/// A field of the first paragraph.
fn field(paragraphs: &str, name: &str) -> Option<String> {
    let first = paragraphs.split("\n\n").next()?;
    let line = first.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    Some(line.to_owned())
}

//! `cargo xtask build`: the hypervisor, the tools of domain 0, the init programs and the test guests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::image;
use crate::step;
use crate::toolchain::{self, BARE, MUSL, MUSL32};
use crate::workspace::Workspace;

/// Builds everything into `target/dist`.
pub fn all(ws: &Workspace) -> Result<()> {
    toolchain::ensure(&[BARE, MUSL], &["llvm-tools"])?;
    install(&hypervisor(ws, "release")?, &ws.hypervisor())?;
    tools(ws)?;
    guests(ws)
}

/// Builds the hypervisor with debug assertions. It is not put into `dist`.
pub fn debug_hypervisor(ws: &Workspace) -> Result<PathBuf> {
    hypervisor(ws, "checked")
}

fn hypervisor(ws: &Workspace, profile: &str) -> Result<PathBuf> {
    step::say(format!("building the hypervisor ({profile})"));
    step::run(cargo_build(ws).args(["-p", "tenon-kernel", "--target", BARE, "--profile", profile]))?;
    let linked = ws.target.join(BARE).join(profile).join("tenon");
    let bootable = linked.with_extension("boot");
    image::link_image(&linked, &bootable)?;
    Ok(bootable)
}

fn tools(ws: &Workspace) -> Result<()> {
    step::say("building the tools of domain 0");
    step::run(cargo_build(ws).args(["-p", "dom0-tools", "--bins", "--target", MUSL, "--profile", "tools"]))?;
    install_binaries(&ws.root.join("dom0-tools"), &ws.target.join(MUSL).join("tools"), &ws.dist().join("bin"))
}

fn guests(ws: &Workspace) -> Result<()> {
    let source = ws.root.join("tests/guests");
    if !source.join("Cargo.toml").exists() {
        return Ok(());
    }
    step::say("building the small test guests");
    step::run(cargo_build(ws).args(["-p", "test-guests", "--bins", "--target", BARE, "--release"]))?;
    install_binaries(&source, &ws.target.join(BARE).join("release"), &ws.dist().join("guests"))
}

/// The static init programs of the initrds.
pub struct Inits {
    pub dom0: PathBuf,
    pub guest: PathBuf,
    /// For 32-bit kernels, which run no 64-bit programs.
    pub guest_i386: PathBuf,
}

/// Builds the init programs; they go into images only, not into `dist`.
pub fn inits(ws: &Workspace) -> Result<Inits> {
    toolchain::ensure(&[MUSL, MUSL32], &[])?;
    step::say("building the init programs");
    for (target, programs) in [(MUSL, &["dom0-init", "guest-init"][..]), (MUSL32, &["guest-init"])] {
        let mut build = cargo_build(ws);
        build.args(["-p", "boot-init", "--target", target, "--profile", "tools"]);
        // The 32-bit target's own linker would be a 32-bit gcc; the linker of the toolchain does as well.
        if target == MUSL32 {
            build.env("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
        }
        step::run(build.args(programs.iter().flat_map(|program| ["--bin", program])))?;
    }
    let built = |target: &str, name: &str| ws.target.join(target).join("tools").join(name);
    Ok(Inits {
        dom0: built(MUSL, "dom0-init"),
        guest: built(MUSL, "guest-init"),
        guest_i386: built(MUSL32, "guest-init"),
    })
}

fn cargo_build(ws: &Workspace) -> Command {
    let mut cargo = toolchain::cargo();
    cargo.current_dir(&ws.root).arg("build");
    cargo
}

/// Copies the binaries that a crate's `src/bin` names; the names are the crate's interface.
fn install_binaries(source: &Path, built: &Path, dist: &Path) -> Result<()> {
    for name in binary_names(source)? {
        install(&built.join(&name), &dist.join(&name))?;
    }
    Ok(())
}

fn binary_names(source: &Path) -> Result<Vec<String>> {
    let bin = source.join("src/bin");
    let mut names = Vec::new();
    for entry in fs::read_dir(&bin).with_context(|| format!("cannot list {}", bin.display()))? {
        let path = entry?.path();
        let is_program = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if let (true, Some(stem)) = (is_program, path.file_stem()) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Copies `from` to `to` by way of a temporary name, so that no reader sees half a file.
pub fn install(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a file to install has a parent")?;
    fs::create_dir_all(parent)?;
    let new = temporary(to);
    fs::copy(from, &new).with_context(|| format!("cannot copy {} to {}", from.display(), new.display()))?;
    fs::rename(&new, to).with_context(|| format!("cannot replace {}", to.display()))
}

/// A name next to `to` that no other thread uses: machines that start at once may want the same file.
fn temporary(to: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    to.with_extension(format!("new{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Writes `to` by way of a temporary name, so that no reader sees half a file.
pub fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    let new = temporary(to);
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, to).with_context(|| format!("cannot replace {}", to.display()))
}

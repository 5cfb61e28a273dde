//! The Rust toolchain: targets and components that the pinned toolchain lacks are added through rustup.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step;

/// Bare metal: the hypervisor and the small test guests.
pub const BARE: &str = "x86_64-unknown-none";
/// Static programs of domain 0 and of guests.
pub const MUSL: &str = "x86_64-unknown-linux-musl";
/// Static programs of 32-bit guests.
pub const MUSL32: &str = "i686-unknown-linux-musl";

/// A cargo command in the toolchain that runs us.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Makes sure that the pinned toolchain has `targets` and `components`.
pub fn ensure(targets: &[&str], components: &[&str]) -> Result<()> {
    ensure_kind("target", targets)?;
    ensure_kind("component", components)
}

fn ensure_kind(kind: &str, wanted: &[&str]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let installed = step::output(Command::new("rustup").args([kind, "list", "--installed"]))
        .with_context(|| format!("rustup is needed to add the {kind}s {}", wanted.join(", ")))?;
    // A component is listed as `name-host`, a target by its bare name.
    let has = |name: &str| {
        installed.lines().any(|line| line == name || line.starts_with(&format!("{name}-x86_64")))
    };
    let missing: Vec<_> = wanted.iter().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    step::say(format!("rustup: adding the missing {kind}s"));
    step::run(Command::new("rustup").args([kind, "add"]).args(&missing))
}

/// A cargo command of the nightly toolchain (Miri, fuzzers), installed with `components` if it is missing.
pub fn nightly_cargo(components: &[&str]) -> Result<Command> {
    let toolchains = step::output(Command::new("rustup").args(["toolchain", "list"]))?;
    if !toolchains.lines().any(|line| line.starts_with("nightly")) {
        step::say("rustup: installing the nightly toolchain");
        step::run(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    }
    let mut add = Command::new("rustup");
    add.args(["component", "add", "--toolchain", "nightly"]).args(components);
    if !components.is_empty() && step::quiet(&mut add).is_err() {
        bail!("the nightly toolchain has no {}", components.join(", "));
    }
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo"]);
    // Set by the stable cargo that runs us, and obeyed by the nightly one if left there.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        cargo.env_remove(name);
    }
    Ok(cargo)
}

//! `cargo xtask fuzz`: cargo-fuzz with what it needs. The targets are in `fuzz/`, a workspace by itself.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use machine_tests::runner::Summary;

use crate::packages::{self, Need};
use crate::step;
use crate::toolchain;
use crate::workspace::Workspace;

/// The targets, as `fuzz/Cargo.toml` names them.
const TARGETS: [&str; 6] =
    ["hypercalls", "instructions", "kernel-image", "xenstore", "guest-file", "disk-image"];
/// Seconds that a target gets in `cargo xtask test --full`.
const SHORT: u32 = 10;
/// Inputs are at most this long.
const MAX_LEN: u32 = 4096;

#[derive(Args)]
pub struct FuzzArgs {
    /// One target; all of them, one after the other, without.
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
}

pub fn fuzz(ws: &Workspace, args: &FuzzArgs) -> Result<()> {
    prepare()?;
    for target in TARGETS.iter().filter(|name| args.target.as_deref().is_none_or(|only| only == **name)) {
        run(ws, target, args.seconds)?;
    }
    Ok(())
}

/// A short round of every target, for the tests.
pub fn short_round(ws: &Workspace) -> Result<Summary> {
    prepare()?;
    let mut sum = Summary::default();
    for target in TARGETS {
        match run(ws, target, SHORT) {
            Ok(()) => sum.passed += 1,
            Err(error) => {
                println!("fuzz {target}: {error:#}");
                sum.failed += 1;
            }
        }
    }
    Ok(sum)
}

/// libFuzzer is C++, and cargo-fuzz comes from crates.io.
fn prepare() -> Result<()> {
    packages::ensure(&[Need::Fuzz])?;
    if program().is_some() {
        return Ok(());
    }
    step::say("installing cargo-fuzz from crates.io");
    let mut install = toolchain::cargo();
    install.args(["install", "cargo-fuzz", "--locked"]).env_remove("CARGO_TARGET_DIR");
    step::run(&mut install).context("cargo-fuzz is missing: `cargo install cargo-fuzz` gets it")
}

/// Where cargo-fuzz is: in the search path, or where cargo puts what it installs.
fn program() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(home.map(|home| home.join("bin")));
    directories.map(|directory| directory.join("cargo-fuzz")).find(|file| file.is_file())
}

fn run(ws: &Workspace, target: &str, seconds: u32) -> Result<()> {
    step::say(format!("fuzzing {target} for {seconds} s"));
    let fuzz = ws.root.join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    let mut command = toolchain::nightly_cargo(&[])?;
    command.current_dir(&ws.root).args(["fuzz", "run", "--fuzz-dir"]).arg(&fuzz).arg("--target-dir");
    // The code under test is safe: an address sanitizer would only slow it down.
    command.arg(ws.target.join("fuzz")).args(["--sanitizer", "none", target]).arg(corpus);
    let seeds = fuzz.join("seeds").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.arg("--").arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={MAX_LEN}"));
    // Long inputs from the start: short ones of these kinds mean little.
    command.args(["-len_control=0", "-timeout=20", "-print_final_stats=1"]);
    if !run_in_path(&mut command)? {
        bail!(
            "{target} failed; if an input did it, that is in {}",
            fuzz.join("artifacts").join(target).display()
        );
    }
    Ok(())
}

/// Runs cargo with the directory of cargo-fuzz in its search path.
fn run_in_path(command: &mut Command) -> Result<bool> {
    let program = program().context("cargo-fuzz has been installed to no directory that is searched")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = program.parent().map(PathBuf::from).into_iter().chain(env::split_paths(&path));
    command.env("PATH", env::join_paths(directories)?);
    Ok(command.status().context("cannot start cargo fuzz")?.success())
}

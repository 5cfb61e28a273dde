//! `cargo xtask`: the one tool of the workspace. Builds, makes images, runs and tests whole machines.

#![allow(dead_code)]
mod apt;
mod build;
mod image;
mod kernels;
mod packages;
mod step;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use kernels::Series;
use packages::Need;
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and tests Tenon")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the hypervisor, the tools and the test guests into target/dist.
    Build,
    /// Install the Debian packages that the other verbs need, and fetch Debian's kernels.
    Setup,
}

fn main() -> ExitCode {
    let ws = Workspace::locate();
    match perform(&ws, Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(ws: &Workspace, verb: Verb) -> Result<()> {
    match verb {
        Verb::Build => build::all(ws),
        Verb::Setup => setup(ws),
    }
}

fn setup(ws: &Workspace) -> Result<()> {
    packages::ensure(&[Need::Images, Need::Qemu, Need::Bochs, Need::AbiHeaders])?;
    for series in Series::ALL {
        let kernel = kernels::fetch(ws, series)?;
        step::say(format!("kernel {}: {}", kernel.release, kernel.vmlinuz.display()));
    }
    Ok(())
}

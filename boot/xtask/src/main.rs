//! `cargo xtask`: the one tool of the workspace. Builds, makes images, runs and tests whole machines.

mod apt;
mod bench;
mod build;
mod checks;
mod fuzz;
mod image;
mod images;
mod kernels;
mod kit;
mod packages;
mod run;
mod step;
mod terminal;
mod test;
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
    /// Boot a machine, create a guest in it, and give the user domain 0's shell.
    Run(run::RunArgs),
    /// Run every check and every machine test; the last line is the sum.
    Test(test::TestArgs),
    /// Feed decoders and hypercalls with made-up input, by cargo-fuzz.
    Fuzz(fuzz::FuzzArgs),
    /// Measure; one line `name value unit` per figure.
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let ws = Workspace::locate();
    match perform(ws, Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(ws: Workspace, verb: Verb) -> Result<()> {
    match verb {
        Verb::Build => build::all(&ws),
        Verb::Setup => setup(&ws),
        Verb::Run(args) => run::run(ws, &args),
        Verb::Bench(args) => bench::bench(ws, &args),
        Verb::Fuzz(args) => fuzz::fuzz(&ws, &args),
        Verb::Test(args) => test::test(ws, &args),
    }
}

fn setup(ws: &Workspace) -> Result<()> {
    packages::ensure(&[
        Need::Images,
        Need::Qemu,
        Need::Bochs,
        Need::AbiHeaders,
        Need::XenstoreClients,
        Need::DiskImages,
    ])?;
    for series in Series::ALL {
        let kernel = kernels::fetch(ws, series)?;
        step::say(format!("kernel {}: {}", kernel.release, kernel.vmlinuz.display()));
    }
    Ok(())
}

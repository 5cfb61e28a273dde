//! The daemon that serves guests' disks from files. See [`dom0_tools::block`].

use std::process::ExitCode;

use clap::Parser;
use dom0_tools::block::daemon::Daemon;

/// Serves guests' disks that are images (qcow2), or that are not to be served by domain 0's kernel. Runs in the
/// foreground; may be killed and started again at any time.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {}

fn main() -> ExitCode {
    let Args {} = Args::parse();
    match Daemon::new().map(|mut daemon| daemon.run()) {
        Ok(never) => match never {},
        Err(e) => {
            eprintln!("tenon-blockd: {e}");
            ExitCode::FAILURE
        }
    }
}

//! The console daemon. See [`dom0_tools::console`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dom0_tools::console::daemon::{Daemon, Options};
use dom0_tools::console::log;

/// Logs the consoles of all guests and makes them usable with `tenon console`. Runs in the foreground; may be
/// killed and started again at any time.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where the logs go: NAME.log, and NAME.log.1 with what was before.
    #[arg(long, default_value = log::DIRECTORY)]
    log_dir: PathBuf,
    /// Size in KiB at which a log is rotated.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(4..=1 << 22))]
    log_size: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = Options { log_directory: args.log_dir, log_limit: args.log_size * 1024 };
    match Daemon::new(options).and_then(|mut daemon| daemon.run()) {
        Ok(never) => match never {},
        Err(e) => {
            eprintln!("tenon-consoled: {e}");
            ExitCode::FAILURE
        }
    }
}

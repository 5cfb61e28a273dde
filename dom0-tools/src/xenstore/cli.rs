//! The command line of `tenon-xenstored`.

use super::daemon::{Daemon, Machine};
use super::journal::{Journal, JournalError};
use super::machine::XenMachine;
use super::nothing::NoMachine;
use super::server::{ListenError, Server, Source, listen};
use super::state::State;
use crate::xen::error::XenError;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;
use tracing::{Level, error, info, warn};

/// How long to wait for an earlier daemon to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tenon's xenstore daemon.
///
/// Runs in the foreground. It may be killed at any moment, also with SIGKILL, and started again: guests do not notice,
/// and nothing that was acknowledged is lost. Processes of domain 0 have to connect again.
#[derive(Debug, Parser)]
#[command(name = "tenon-xenstored", version)]
struct Options {
    /// Directory of the socket; may be given several times
    #[arg(long, value_name = "DIR", default_values = ["/run/xenstored", "/var/run/xenstored"])]
    socket_dir: Vec<PathBuf>,
    /// Directory of what has to survive the daemon; on a tmpfs, since it must not survive the machine
    #[arg(long, value_name = "DIR", default_value = "/run/tenon/xenstore")]
    state_dir: PathBuf,
    /// Serve processes only: no domains, no hypervisor needed
    #[arg(long)]
    no_domains: bool,
    /// Write the process number there
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Log to a file instead of standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// How much to log: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
}

/// Why the daemon cannot work.
#[derive(Debug)]
enum Failure {
    File(&'static str, PathBuf, io::Error),
    Journal(JournalError),
    Listen(ListenError),
    Xen(XenError),
    Poll(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(what, path, error) => write!(f, "cannot {what} {}: {error}", path.display()),
            Self::Journal(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
            Self::Xen(error) => write!(f, "{error}; with --no-domains the store works without a hypervisor"),
            Self::Poll(error) => write!(f, "cannot wait for clients: {error}"),
        }
    }
}

/// Runs the daemon. Exit code 1: it cannot work, and says why; 2: the command line is wrong.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(failure) = start_log(&options) {
        eprintln!("tenon-xenstored: {failure}");
        return ExitCode::FAILURE;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(options: &Options) -> Result<(), Failure> {
    let log = tracing_subscriber::fmt().with_max_level(options.log_level).with_target(false).with_ansi(false);
    match &options.log_file {
        Some(path) => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            let file = file.map_err(|error| Failure::File("open", path.clone(), error))?;
            log.with_writer(Mutex::new(file)).init();
        }
        None => log.with_writer(io::stderr).init(),
    }
    Ok(())
}

fn run(options: &Options) -> Result<(), Failure> {
    raise_file_limit();
    let (journal, state, recovery) = Journal::open(&options.state_dir, PATIENCE).map_err(Failure::Journal)?;
    if recovery.is_new {
        info!("a new store in {}", options.state_dir.display());
    } else {
        info!(batches = recovery.batches, torn = recovery.torn, "continuing {}", options.state_dir.display());
    }
    if let Some(path) = &options.pid_file {
        let written = fs::write(path, format!("{}\n", std::process::id()));
        written.map_err(|error| Failure::File("write", path.clone(), error))?;
    }
    if options.no_domains {
        serve(options, journal, state, NoMachine)
    } else {
        serve(options, journal, state, XenMachine::open().map_err(Failure::Xen)?)
    }
}

fn serve(
    options: &Options,
    journal: Journal,
    state: State,
    machine: impl Machine + Source,
) -> Result<(), Failure> {
    let mut daemon = Daemon::new(state, journal, machine);
    daemon.start();
    let listeners = listen(&options.socket_dir).map_err(Failure::Listen)?;
    info!(domains = daemon.domains().count(), "ready");
    Server::new(daemon, listeners).run().map_err(Failure::Poll)
}

/// Every domain and every process takes a file or two.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

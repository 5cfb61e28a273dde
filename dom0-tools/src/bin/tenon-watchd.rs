//! The daemon that acts when guests stop. See [`dom0_tools::lifecycle::watch`].

use std::process::ExitCode;

use dom0_tools::host::Host;
use dom0_tools::lifecycle::prepare;
use dom0_tools::lifecycle::watch::Watcher;

fn main() -> ExitCode {
    match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("tenon-watchd: {message}");
            ExitCode::FAILURE
        }
    }
}

fn watch() -> Result<(), String> {
    let host = Host::open().map_err(|e| e.to_string())?;
    let lock = host.registry.watcher_lock().map_err(|e| e.to_string())?;
    let Some(_lock) = lock else { return Err("another one runs already".into()) };
    prepare::in_background();
    match Watcher::new(host).run() {
        Ok(never) => match never {},
        Err(e) => Err(e.to_string()),
    }
}

//! Switching off.
//!
//! The kernel runs `/sbin/poweroff` and `/sbin/reboot` when the toolstack asks through
//! xenstore's `control/shutdown`; both are links to init. Busybox's
//! commands of these names, which its shell prefers to files, send signals to the first process.

use std::path::Path;
use std::thread;

use rustix::system::{RebootCommand, reboot};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// Does what the program's name says, if it is a name of this module.
pub fn act_on_name(program: &str) {
    let name = Path::new(program).file_name().unwrap_or_default();
    match name.to_string_lossy().as_ref() {
        "poweroff" => now(RebootCommand::PowerOff),
        "halt" => now(RebootCommand::Halt),
        "reboot" => now(RebootCommand::Restart),
        _ => {}
    }
}

/// Obeys busybox's signals from now on.
pub fn obey_signals() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGUSR1, SIGUSR2, SIGTERM, SIGINT])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            now(match signal {
                SIGUSR1 => RebootCommand::Halt,
                SIGUSR2 => RebootCommand::PowerOff,
                _ => RebootCommand::Restart,
            });
        }
    });
    Ok(())
}

/// Nothing on these machines outlives them but disks of tests: write those and go.
pub fn now(command: RebootCommand) -> ! {
    rustix::fs::sync();
    let error = reboot(command);
    println!("init: reboot system call: {error:?}");
    std::process::exit(1)
}

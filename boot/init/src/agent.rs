//! The harness's hand inside domain 0: takes one command per line from a serial port, runs it with
//! `sh -c`, and answers with its output and a line `@exit CODE`.
//!
//! A channel of its own, because the console carries the lines of every domain between one another.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Where programs are.
pub const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The line that announces the agent, once per start.
pub const READY: &str = "@ready";

/// Serves the port until it breaks.
pub fn serve(terminal: &str) -> Result<()> {
    let path = format!("/dev/{terminal}");
    let device =
        File::options().read(true).write(true).open(&path).with_context(|| format!("cannot open {path}"))?;
    let mut attributes = tcgetattr(&device)?;
    attributes.make_raw();
    tcsetattr(&device, OptionalActions::Flush, &attributes)?;
    let mut answer = device.try_clone()?;
    writeln!(answer, "{READY}")?;
    for line in BufReader::new(device.try_clone()?).lines() {
        let status = Command::new("/bin/sh")
            .args(["-c", &line?])
            .env("PATH", PATH)
            .env("HOME", "/root")
            .stdin(Stdio::null())
            .stdout(device.try_clone()?)
            .stderr(device.try_clone()?)
            .status()?;
        writeln!(answer, "\n@exit {}", code(status))?;
    }
    Ok(())
}

/// The exit code as shells report it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

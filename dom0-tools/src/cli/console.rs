//! `tenon console`: this terminal becomes the guest's, through the console daemon's pseudo terminal.
//!
//! The daemon may be restarted meanwhile: then the connection is made anew.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use serde_json::json;

use super::exit::Failure;
use super::output;
use super::raw::Raw;
use crate::console::{links, log};
use crate::host::Host;
use crate::lifecycle::act;

/// Ctrl-]
const LEAVE: u8 = 0x1d;
/// How long to wait for the daemon to offer the console.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connects to the console of the domain that is `wanted`, or tells where it is.
pub fn run(wanted: &str, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = host.find(wanted)?;
    if json {
        let log = PathBuf::from(log::DIRECTORY).join(format!("{}.log", domain.name));
        let terminal = links::find(domain.info.id);
        return output::json(&json!({
            "id": domain.info.id, "name": domain.name, "terminal": terminal, "log": log,
        }));
    }
    attach(&host, &domain.name, domain.info.id)
}

/// Connects to the console of domain `id` until it is gone or the user leaves.
pub fn attach(host: &Host, name: &str, id: u16) -> Result<(), Failure> {
    let _raw = Raw::set()?;
    loop {
        let Some(mut console) = find(host, name, id)? else { return Ok(()) };
        if relay(&mut console)? == End::Left {
            return Ok(());
        }
    }
}

/// The console of a domain as soon as it is offered; `None` if the domain is gone.
fn find(host: &Host, name: &str, id: u16) -> Result<Option<File>, Failure> {
    let start = Instant::now();
    loop {
        let path = links::find(id);
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        if let Some(console) = path.and_then(|path| open(path, flags, Mode::empty()).ok()) {
            return Ok(Some(console.into()));
        }
        if act::wait_until(host, id, Some(Duration::ZERO), |activity| activity.is_none())? {
            return Ok(None);
        }
        if start.elapsed() > PATIENCE {
            let message = format!("{name}: tenon-consoled offers no console for domain {id}; is it running?");
            return Err(Failure::refused(message));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The user left.
    Left,
    /// The daemon closed it: the guest is gone, or the daemon is.
    Closed,
}

fn relay(console: &mut File) -> io::Result<End> {
    let (mut stdin, mut stdout) = (io::stdin(), io::stdout());
    let mut typing = true;
    let mut bytes = [0; 4096];
    loop {
        let console_fd = console.try_clone()?;
        let mut fds = vec![PollFd::new(&console_fd, PollFlags::IN)];
        if typing {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0] {
            match console.read(&mut bytes) {
                // The other side of a pseudo terminal that is gone reads as EIO.
                Ok(0) | Err(_) => return Ok(End::Closed),
                Ok(count) => stdout.write_all(&bytes[..count]).and_then(|()| stdout.flush())?,
            }
        }
        if ready.get(1) == Some(&true) {
            let count = stdin.read(&mut bytes)?;
            let typed = &bytes[..count];
            let leave = typed.iter().position(|byte| *byte == LEAVE);
            if console.write_all(&typed[..leave.unwrap_or(count)]).is_err() {
                return Ok(End::Closed);
            }
            if leave.is_some() {
                return Ok(End::Left);
            }
            // With its input at an end, a script goes on listening.
            typing = count > 0;
        }
    }
}

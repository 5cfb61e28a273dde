//! The pseudo terminal on which a guest's console can be used.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// An open pseudo terminal.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    /// Kept open: with no slave open, reading the master is an error instead of a wait.
    _slave: OwnedFd,
    path: String,
}

impl Terminal {
    /// Opens a new one, raw.
    ///
    /// # Errors
    /// What the kernel says; it wants devpts on /dev/pts.
    pub fn open() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let slave = open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut attributes = tcgetattr(&slave)?;
        attributes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &attributes)?;
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let path = path.into_string().map_err(io::Error::other)?;
        Ok(Self { master: master.into(), _slave: slave, path })
    }

    /// The path of the slave side, to be opened by whoever uses the console.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Shows as many of `bytes` as there is room for.
    ///
    /// # Errors
    /// What the kernel says, except that there is no room.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        none_if_it_would_block(self.master.write(bytes))
    }

    /// What was typed, as far as it fits.
    ///
    /// # Errors
    /// What the kernel says, except that there is nothing.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        none_if_it_would_block(self.master.read(bytes))
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

fn none_if_it_would_block(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_unchanged_both_ways() {
        let mut terminal = Terminal::open().unwrap();
        let mut user = File::options().read(true).write(true).open(terminal.path()).unwrap();
        assert_eq!(terminal.write(b"\r\nlogin: \x03").unwrap(), 10);
        let mut seen = [0; 10];
        user.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"\r\nlogin: \x03");
        user.write_all(b"root\r").unwrap();
        let mut typed = [0; 64];
        assert_eq!(terminal.read(&mut typed).unwrap(), 5);
        assert_eq!(&typed[..5], b"root\r");
        assert_eq!(terminal.read(&mut typed).unwrap(), 0);
    }
}

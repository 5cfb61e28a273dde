//! The sockets that processes connect to.

use rustix::fs::{Mode, chmod};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A socket that cannot be had.
#[derive(Debug)]
pub struct ListenError {
    path: PathBuf,
    cause: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen at {}: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for ListenError {}

/// Listens at `socket` in each of the directories, which are created if need be; two names of one directory count
/// once. Only root may connect. A socket that an earlier daemon left is replaced in one step, so that whoever looks
/// for it finds one.
///
/// # Errors
/// If a directory or socket cannot be created.
pub fn listen(directories: &[PathBuf]) -> Result<Vec<UnixListener>, ListenError> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut listeners = Vec::new();
    for directory in directories {
        let path = directory.join("socket");
        let failed = |cause| ListenError { path: path.clone(), cause };
        fs::create_dir_all(directory).map_err(failed)?;
        let real = directory.canonicalize().map_err(failed)?;
        if !seen.contains(&real) {
            listeners.push(listen_at(&real).map_err(failed)?);
            seen.push(real);
        }
    }
    Ok(listeners)
}

fn listen_at(directory: &Path) -> io::Result<UnixListener> {
    let new = directory.join("socket.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    chmod(&new, Mode::RUSR | Mode::WUSR)?;
    listener.set_nonblocking(true)?;
    fs::rename(&new, directory.join("socket"))?;
    Ok(listener)
}

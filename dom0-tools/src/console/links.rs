//! Where a guest's pseudo terminal is found: `/run/tenon/console/ID`, a link to it, and the xenstore node that
//! xl's tools look at.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::registry::RUN;
use crate::xs_client::{Client, Tx};

fn directory() -> PathBuf {
    Path::new(RUN).join("console")
}

/// The pseudo terminal of domain `id`, if the daemon has one for it.
#[must_use]
pub fn find(id: u16) -> Option<PathBuf> {
    fs::read_link(directory().join(id.to_string())).ok()
}

/// Makes it known. Trouble with the store is none: the link suffices for our own tools.
///
/// # Errors
/// If the link cannot be made.
pub fn publish(store: Option<&mut Client>, id: u16, terminal: &str) -> io::Result<()> {
    let directory = directory();
    fs::create_dir_all(&directory)?;
    let new = directory.join(format!(".{id}"));
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => symlink(terminal, &new)?,
    }
    fs::rename(&new, directory.join(id.to_string()))?;
    if let Some(store) = store {
        let _ = store.write(Tx::NONE, &format!("/local/domain/{id}/console/tty"), terminal);
    }
    Ok(())
}

/// Removes the link of domain `id`.
///
/// # Errors
/// If it cannot be removed.
pub fn withdraw(id: u16) -> io::Result<()> {
    match fs::remove_file(directory().join(id.to_string())) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes links that an earlier daemon left, except those of `ids`.
///
/// # Errors
/// If the directory cannot be read.
pub fn withdraw_others(ids: &[u16]) -> io::Result<()> {
    let entries = match fs::read_dir(directory()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        match name.to_str().and_then(|name| name.parse::<u16>().ok()) {
            Some(id) if !ids.contains(&id) => withdraw(id)?,
            _ => {}
        }
    }
    Ok(())
}

//! What is remembered of the guests that `tenon create` made: one small file each under /run/tenon/guests.
//!
//! The hypervisor knows which domains there are; a record adds what it cannot know: the guest file, and what is
//! being done with the guest. Records are named by the guest's UUID, which is also the domain's handle, and are
//! written before the deed: whoever finds a record and looks at the domain knows how to go on, whatever was
//! killed when. /run is gone after a boot, and so are the domains.

mod process;
mod record;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

pub use process::Process;
#[cfg(test)]
pub use record::tests::record as tests_record;
pub use record::{Record, State};

use crate::config::Uuid;

/// Where the tools keep their state.
pub const RUN: &str = "/run/tenon";

/// The records.
#[derive(Clone, Debug)]
pub struct Registry {
    run: PathBuf,
}

/// Nobody else changes records as long as this lives. The kernel lets go of it when the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Default for Registry {
    fn default() -> Self {
        Self::at(Path::new(RUN))
    }
}

impl Registry {
    /// The records under `run`.
    #[must_use]
    pub fn at(run: &Path) -> Self {
        Self { run: run.to_owned() }
    }

    fn guests(&self) -> PathBuf {
        self.run.join("guests")
    }

    /// The directory whose changes announce new records.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn directory(&self) -> io::Result<PathBuf> {
        let guests = self.guests();
        fs::create_dir_all(&guests).map_err(|e| named(&guests, e))?;
        Ok(guests)
    }

    /// Waits until nobody else changes records, and keeps it so.
    ///
    /// # Errors
    /// If the lock file cannot be made.
    pub fn lock(&self) -> io::Result<Lock> {
        let lock = self.open_lock("lock")?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Lock(lock))
    }

    /// The lock of the one lifecycle watcher; `None` if it runs already.
    ///
    /// # Errors
    /// If the lock file cannot be made.
    pub fn watcher_lock(&self) -> io::Result<Option<Lock>> {
        self.try_lock("watch.lock")
    }

    /// The lock of the one `tenon trace`; `None` if one runs already.
    ///
    /// # Errors
    /// If the lock file cannot be made.
    pub fn trace_lock(&self) -> io::Result<Option<Lock>> {
        self.try_lock("trace.lock")
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let lock = self.open_lock(name)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(lock))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn open_lock(&self, name: &str) -> io::Result<File> {
        fs::create_dir_all(&self.run).map_err(|e| named(&self.run, e))?;
        let path = self.run.join(name);
        File::options().create(true).append(true).open(&path).map_err(|e| named(&path, e))
    }

    /// All records, and the files that should be one but cannot be read.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn all(&self) -> io::Result<(Vec<Record>, Vec<io::Error>)> {
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(self.guests()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((records, unreadable)),
            entries => entries.map_err(|e| named(&self.guests(), e))?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            match read(&path) {
                Ok(record) => records.push(record),
                // Removed between the two calls.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => unreadable.push(named(&path, e)),
            }
        }
        Ok((records, unreadable))
    }

    /// The record of a guest, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn find(&self, uuid: Uuid) -> io::Result<Option<Record>> {
        let path = self.path(uuid);
        match read(&path) {
            Ok(record) => Ok(Some(record)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(named(&path, e)),
        }
    }

    fn path(&self, uuid: Uuid) -> PathBuf {
        self.guests().join(format!("{uuid}.toml"))
    }

    /// Writes a record, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, record: &Record) -> io::Result<()> {
        let text = toml::to_string(record).map_err(io::Error::other)?;
        self.directory()?;
        let path = self.path(record.uuid);
        let new = path.with_extension("new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().map_err(|e| named(&path, e))
    }

    /// Forgets a guest; that it is not known is fine.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn forget(&self, uuid: Uuid) -> io::Result<()> {
        let path = self.path(uuid);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(named(&path, e)),
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> io::Result<Record> {
    fs::read_to_string(path).and_then(|text| toml::from_str(&text).map_err(io::Error::other))
}

fn named(path: &Path, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_until_forgotten() {
        let run = std::env::temp_dir().join(format!("tenon-registry-{}", std::process::id()));
        let registry = Registry::at(&run);
        assert!(registry.all().unwrap().0.is_empty());
        let record = record::tests::record(State::Building { by: Process::this().unwrap() });
        registry.save(&record).unwrap();
        fs::write(registry.guests().join("torn.toml"), "uuid = ").unwrap();
        let (records, unreadable) = registry.all().unwrap();
        assert_eq!((records, unreadable.len()), (vec![record.clone()], 1));
        assert_eq!(registry.find(record.uuid).unwrap(), Some(record.clone()));
        registry.forget(record.uuid).unwrap();
        assert_eq!(registry.find(record.uuid).unwrap(), None);
        registry.forget(record.uuid).unwrap();
        assert!(registry.all().unwrap().0.is_empty());
        let held = registry.watcher_lock().unwrap();
        assert!(held.is_some() && registry.watcher_lock().unwrap().is_none());
        fs::remove_dir_all(&run).unwrap();
    }
}

//! A guest's console log: a file that is appended to, with one older generation beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the logs are.
pub const DIRECTORY: &str = "/var/log/tenon/console";

/// An open log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl Log {
    /// Opens the log of guest `name` in `directory`; a file that reaches `limit` bytes becomes `NAME.log.1`.
    ///
    /// # Errors
    /// What making the directory or opening the file says.
    pub fn open(directory: &Path, name: &str, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        // A guest's name was checked when it was created, but other tools also create guests.
        let name: String = name.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
        let path = directory.join(format!("{name}.log"));
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size, limit })
    }

    /// Appends `bytes`, which are a ring's worth at most.
    ///
    /// # Errors
    /// What writing says, such as that the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size + bytes.len() as u64 > self.limit && self.size > 0 {
            let older = self.path.with_extension("log.1");
            fs::rename(&self.path, older)?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_rotated_and_bounded() {
        let directory = std::env::temp_dir().join(format!("tenon-log-{}", std::process::id()));
        for round in 0..40 {
            // Opened anew each time, as after a restart of the daemon.
            let mut log = Log::open(&directory, "a/b", 100).unwrap();
            log.write(format!("{round:030}").as_bytes()).unwrap();
        }
        let new = fs::read(directory.join("a_b.log")).unwrap();
        let old = fs::read(directory.join("a_b.log.1")).unwrap();
        assert_eq!((new.len(), old.len()), (30, 90));
        assert!(new.ends_with(b"39") && old.ends_with(b"38"));
        fs::remove_dir_all(&directory).unwrap();
    }
}

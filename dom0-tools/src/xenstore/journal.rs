//! What survives the daemon: one file of recorded changes.
//!
//! The file is a magic number and records, each of them one batch: length, CRC-32, and the changes in postcard
//! encoding. A batch counts once its record is whole; a process killed in the middle of a write leaves a torn last
//! record, which the next one cuts off. When the file has grown to a multiple of what the state needs, it is
//! replaced by a new one that starts with the changes that build the state: the new file gets its name only when it
//! is whole.
//!
//! The file belongs on a tmpfs: it has to survive the process, not the machine. So nothing is ever synced.

use super::change::Change;
use super::state::State;
use rustix::fs::{FlockOperation, flock};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MAGIC: &[u8; 8] = b"TNXSTOR1";
/// Bytes before a record's content: length and checksum.
const RECORD_HEADER: usize = 8;
/// Changes in one record of a rewritten file.
const CHUNK: usize = 256;
/// A file smaller than this is never rewritten.
const SMALL: u64 = 1 << 20;
/// How many times the size of its state a file may reach.
const GROWTH: u64 = 4;

/// Where the changes of a batch are made durable.
pub trait Log {
    /// Records a batch. When this returns, it will be there for the next process, whole; if it fails, not at all.
    fn append(&mut self, changes: &[Change]) -> Result<(), String>;

    /// Forgets the past and records the state instead.
    fn rewrite(&mut self, state: &State) -> Result<(), String>;

    /// Whether that is worth doing.
    fn is_bloated(&self) -> bool;
}

/// The file.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    file: File,
    len: u64,
    rewrite_at: u64,
    _lock: File,
}

/// What was found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Whether there was anything.
    pub is_new: bool,
    /// Batches read.
    pub batches: usize,
    /// Bytes of a torn record cut off.
    pub torn: usize,
}

/// Why the journal cannot be used.
#[derive(Debug)]
pub enum JournalError {
    /// A file operation failed.
    Io(&'static str, PathBuf, io::Error),
    /// Another daemon is at work; its process number, if it left it.
    Locked(PathBuf, String),
    /// The file is not what this version writes.
    Foreign(PathBuf),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, path, error) => write!(f, "cannot {what} {}: {error}", path.display()),
            Self::Locked(path, pid) => {
                write!(f, "another daemon (process {pid}) holds {}", path.display())
            }
            Self::Foreign(path) => write!(
                f,
                "{} was not written by this version; remove it if no guest is running",
                path.display()
            ),
        }
    }
}

impl std::error::Error for JournalError {}

impl Journal {
    /// Opens the journal in a directory, which is created if need be, waiting at most `patience` for an earlier
    /// daemon to be gone. Gives the state that it holds.
    ///
    /// # Errors
    /// If files cannot be used, belong to a daemon that lives, or hold something else.
    pub fn open(directory: &Path, patience: Duration) -> Result<(Self, State, Recovery), JournalError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| JournalError::Io(what, path, error)
        };
        // Values may be secrets.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(failed("create", directory))?;
        let lock = lock(&directory.join("lock"), patience)?;
        let path = directory.join("journal");
        let mut state = State::default();
        let mut recovery = Recovery { is_new: true, batches: 0, torn: 0 };
        match fs::read(&path) {
            Ok(bytes) => recovery = replay(&bytes, &mut state).ok_or(JournalError::Foreign(path.clone()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
        state.resume();
        let (file, len) = write_new(directory, &state).map_err(failed("write", &path))?;
        let directory = directory.to_owned();
        let journal = Self { directory, file, len, rewrite_at: threshold(len), _lock: lock };
        Ok((journal, state, recovery))
    }
}

impl Log for Journal {
    fn append(&mut self, changes: &[Change]) -> Result<(), String> {
        let mut bytes = Vec::new();
        add_record(&mut bytes, changes.iter().filter(|change| change.is_durable()));
        if bytes.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&bytes) {
            // What was written of it must not be in the way of the next record.
            let cut = self.file.set_len(self.len).and_then(|()| self.file.seek(SeekFrom::Start(self.len)));
            return Err(match cut {
                Ok(_) => error.to_string(),
                Err(second) => format!("{error}, and then: {second}"),
            });
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn rewrite(&mut self, state: &State) -> Result<(), String> {
        // If this fails, it is not tried again before the file has doubled.
        self.rewrite_at = self.len.saturating_mul(2);
        let (file, len) = write_new(&self.directory, state).map_err(|error| error.to_string())?;
        (self.file, self.len, self.rewrite_at) = (file, len, threshold(len));
        Ok(())
    }

    fn is_bloated(&self) -> bool {
        self.len > self.rewrite_at
    }
}

fn threshold(len: u64) -> u64 {
    SMALL.max(len.saturating_mul(GROWTH))
}

fn lock(path: &Path, patience: Duration) -> Result<File, JournalError> {
    let failed = |error| JournalError::Io("lock", path.to_owned(), error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(failed)?;
    let start = Instant::now();
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(error.into()));
        }
        if start.elapsed() >= patience {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(JournalError::Locked(path.to_owned(), pid.trim().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// Writes a journal that holds just the state, and puts it in the old one's place.
fn write_new(directory: &Path, state: &State) -> io::Result<(File, u64)> {
    let mut bytes = MAGIC.to_vec();
    for chunk in state.snapshot().chunks(CHUNK) {
        add_record(&mut bytes, chunk.iter());
    }
    let new = directory.join("journal.new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    fs::rename(new, directory.join("journal"))?;
    Ok((file, bytes.len() as u64))
}

/// Appends a record of the changes, if there are any.
fn add_record<'a>(bytes: &mut Vec<u8>, changes: impl Iterator<Item = &'a Change>) {
    let start = bytes.len();
    bytes.extend([0; RECORD_HEADER]);
    for change in changes {
        // Every type in a change has an encoding, and a vector takes what it is given.
        match postcard::to_extend(change, std::mem::take(bytes)) {
            Ok(more) => *bytes = more,
            Err(error) => unreachable!("a change without an encoding: {error}"),
        }
    }
    let content = &bytes[start + RECORD_HEADER..];
    if content.is_empty() {
        bytes.truncate(start);
        return;
    }
    let (len, sum) = (content.len() as u32, crc32fast::hash(content));
    bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
    bytes[start + 4..start + RECORD_HEADER].copy_from_slice(&sum.to_le_bytes());
}

/// Applies the records to a state; `None` if these are not a journal's bytes.
fn replay(bytes: &[u8], state: &mut State) -> Option<Recovery> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut batches = 0;
    while let Some((content, after)) = next_record(rest) {
        let mut content = content;
        while !content.is_empty() {
            let (change, left) = postcard::take_from_bytes::<Change>(content).ok()?;
            state.apply(&change);
            content = left;
        }
        batches += 1;
        rest = after;
    }
    Some(Recovery { is_new: false, batches, torn: rest.len() })
}

fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER>()?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (content, after) = rest.split_at_checked(word(0) as usize)?;
    (crc32fast::hash(content) == word(4)).then_some((content, after))
}

#[cfg(test)]
mod tests;

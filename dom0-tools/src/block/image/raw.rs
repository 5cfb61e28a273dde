//! A file or a block device that is the disk.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::{Image, Source, Target};
use crate::block::request::SECTOR;

/// The open file.
#[derive(Debug)]
pub struct Raw {
    file: Arc<File>,
    sectors: u64,
}

impl Raw {
    /// Opens it.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path, read_only: bool) -> io::Result<Self> {
        let mut file = File::options().read(true).write(!read_only).open(path)?;
        // A block device has a length only to those who look for its end.
        let sectors = file.seek(SeekFrom::End(0))? / SECTOR;
        Ok(Self { file: Arc::new(file), sectors })
    }
}

impl Image for Raw {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn file(&self) -> &Arc<File> {
        &self.file
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<(usize, Source)>> {
        Ok(vec![(len, Source::File(Arc::clone(&self.file), offset))])
    }

    fn write(&self, offset: u64, len: usize) -> io::Result<Vec<(usize, Target)>> {
        Ok(vec![(len, Target::Place(offset))])
    }

    fn write_new(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

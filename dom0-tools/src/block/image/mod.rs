//! What is in the file behind a disk.
//!
//! An image says where in which file sectors are; the data are moved by whoever asks. It never says a place in a file
//! that is not the disk's own data, whatever is in the file and whatever a guest asks for. All of it may be used from
//! several threads at once.

mod qcow2;
mod raw;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use super::engine;
use crate::config::Format;

/// Where a run of bytes is to be read from.
#[derive(Debug)]
pub enum Source {
    /// Nowhere: they are zeros.
    Zeros,
    /// A place in a file; what is after its end is zeros.
    File(Arc<File>, u64),
    /// Here.
    Bytes(Vec<u8>),
}

/// Where a run of bytes is to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A place in the image's file.
    Place(u64),
    /// There is no place yet: [`Image::write_new`] makes one.
    New,
}

/// An open image.
pub trait Image: Send + Sync {
    /// The disk's size in sectors.
    fn sectors(&self) -> u64;

    /// The file that is written to.
    fn file(&self) -> &Arc<File>;

    /// Where the `len` bytes from `offset` on are, as runs with their lengths.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<(usize, Source)>>;

    /// Where the `len` bytes from `offset` on are to be written, as runs with their lengths.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    fn write(&self, offset: u64, len: usize) -> io::Result<Vec<(usize, Target)>>;

    /// Writes where there was no place.
    ///
    /// # Errors
    /// The file is damaged, or cannot be written; what was there before still is.
    fn write_new(&self, offset: u64, data: &[u8]) -> io::Result<()>;
}

/// Opens the image in `path`. Nothing is written to it by that.
///
/// # Errors
/// As the system says, or `InvalidData` with what is wrong with it.
pub fn open(path: &Path, format: Format, read_only: bool) -> io::Result<Arc<dyn Image>> {
    open_at(path, format, read_only, 0)
}

/// Opens an image that is `depth` backing files deep.
fn open_at(path: &Path, format: Format, read_only: bool, depth: usize) -> io::Result<Arc<dyn Image>> {
    let kind = path.metadata()?.file_type();
    // To open something else may take for ever.
    if !kind.is_file() && !kind.is_block_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a block device"));
    }
    match format {
        Format::Raw => Ok(Arc::new(raw::Raw::open(path, read_only)?)),
        Format::Qcow2 => Ok(Arc::new(qcow2::Qcow2::open(path, read_only, depth)?)),
    }
}

/// Reads runs of sources, one after the other.
///
/// # Errors
/// As the system says.
pub fn read_whole(sources: Vec<(usize, Source)>) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    for (len, source) in sources {
        let at = whole.len();
        whole.resize(at + len, 0);
        match source {
            Source::Zeros => {}
            Source::Bytes(bytes) => whole[at..].copy_from_slice(&bytes),
            Source::File(file, offset) => engine::read(&file, offset, &mut whole[at..])?,
        }
    }
    Ok(whole)
}

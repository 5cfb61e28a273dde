//! QEMU's image format with clusters on demand, versions 2 and 3 (`docs/interop/qcow2.txt` of QEMU).
//!
//! A cluster of the disk is found by two levels of tables, and can be nowhere (then it is the backing file's, or
//! zeros), zeros by a flag, compressed, or a cluster of the file. Only the last, where no other cluster shares it, is
//! written in place; everything else gets a new cluster, with what it held before.
//!
//! What has been answered survives the death of the daemon, because every change is given to the kernel before that;
//! nothing is kept back. What was flushed survives the host's: a table's entry is changed only once what it will point
//! to is on disk, if that replaces anything but zeros ([`refcounts`] sees to it that new clusters are zeros on disk).
//!
//! The file is not trusted: its tables are bounded by the header's checks, and no data are written to where a table
//! is. Where an image turns out damaged when it is written to, it is marked as corrupt and not written to any more.

mod compressed;
mod flaw;
mod header;
mod lookup;
mod refcounts;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::fdatasync;

pub use flaw::Flaw;
use header::{AUTOCLEAR, CORRUPT, Header, INCOMPATIBLE};
use lookup::{Cluster, Tables};
use refcounts::Refcounts;

use super::{Image, Source, Target, read_whole};
use crate::block::request::SECTOR;
use crate::config::Format;

/// Backing files behind one another, at most.
const DEPTH: usize = 16;

/// An open image.
pub struct Qcow2 {
    file: Arc<File>,
    header: Header,
    read_only: bool,
    backing: Option<Arc<dyn Image>>,
    state: Mutex<State>,
}

/// What changes.
struct State {
    tables: Tables,
    counts: Refcounts,
    /// Whether the image was told that it is written to.
    begun: bool,
    /// Whether damage was found while writing.
    broken: bool,
}

impl Qcow2 {
    /// Opens the image in `path`, which is so many backing files deep.
    ///
    /// # Errors
    /// A [`Flaw`], or as the system says.
    pub fn open(path: &Path, read_only: bool, depth: usize) -> io::Result<Self> {
        if depth > DEPTH {
            return Err(Flaw::Depth(DEPTH).into());
        }
        let mut file = File::options().read(true).write(!read_only).open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        let header = Header::read(&file)?;
        if !read_only {
            header.writable()?;
        }
        let mut counts = Refcounts::open(&file, &header, end)?;
        let tables = Tables::open(&file, &header, &mut counts)?;
        let backing =
            header.backing.as_ref().map(|(name, format)| backing(path, name, format.as_deref(), depth));
        let state = State { tables, counts, begun: false, broken: false };
        Ok(Self {
            file: Arc::new(file),
            header,
            read_only,
            backing: backing.transpose()?,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs of `len` bytes from `offset` on in each cluster: offset and length.
    fn runs(&self, offset: u64, len: usize) -> impl Iterator<Item = (u64, usize)> + use<> {
        let (cluster, end) = (self.header.cluster(), offset + len as u64);
        let mut at = offset;
        std::iter::from_fn(move || {
            let start = at;
            at = end.min((at / cluster + 1) * cluster);
            (start < end).then_some((start, (at - start) as usize))
        })
    }

    /// What is in a run of one cluster.
    fn sources(&self, cluster: Cluster, offset: u64, len: usize) -> io::Result<Vec<(usize, Source)>> {
        let inside = offset % self.header.cluster();
        Ok(match cluster {
            Cluster::Zeros(_) => vec![(len, Source::Zeros)],
            Cluster::Place { place, .. } => vec![(len, Source::File(Arc::clone(&self.file), place + inside))],
            Cluster::Compressed { place, len: packed } => {
                let size = self.header.cluster() as usize;
                let whole = compressed::unpack(&self.file, self.header.compression, place, packed, size)?;
                vec![(len, Source::Bytes(whole[inside as usize..][..len].to_vec()))]
            }
            Cluster::Nowhere => match &self.backing {
                None => vec![(len, Source::Zeros)],
                Some(backing) => {
                    // It may be shorter.
                    let there = (backing.sectors() * SECTOR).saturating_sub(offset).min(len as u64) as usize;
                    let mut sources = if there > 0 { backing.read(offset, there)? } else { Vec::new() };
                    if there < len {
                        sources.push((len - there, Source::Zeros));
                    }
                    sources
                }
            },
        })
    }

    /// Refuses to write to a damaged image, and tells it that it is written to.
    fn begin(&self, state: &mut State) -> io::Result<()> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if state.broken {
            return Err(Flaw::Corrupt.into());
        }
        if !state.begun && self.header.autoclear != 0 {
            self.file.write_all_at(&[0; 8], AUTOCLEAR)?;
            fdatasync(&self.file)?;
        }
        state.begun = true;
        Ok(())
    }

    /// Marks the image as corrupt if that is what an error says.
    fn judge<T>(&self, state: &mut State, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|e| {
            let is_flaw = e.get_ref().is_some_and(|inner| inner.is::<Flaw>());
            if is_flaw && !state.broken && state.begun {
                state.broken = true;
                if self.header.version >= 3 {
                    let bits = self.header.incompatible | CORRUPT;
                    // The error that led here is the one to report.
                    let _ = self.file.write_all_at(&bits.to_be_bytes(), INCOMPATIBLE);
                }
            }
        })
    }

    /// Writes to one cluster.
    fn write_cluster(&self, state: &mut State, offset: u64, data: &[u8]) -> io::Result<()> {
        let inside = offset % self.header.cluster();
        let old = state.tables.find(&self.file, &self.header, &state.counts, offset)?;
        if let Cluster::Place { place, alone: true } = old {
            return self.file.write_all_at(data, place + inside);
        }
        let was_zeros = match old {
            Cluster::Zeros(_) => true,
            Cluster::Nowhere => self.backing.is_none(),
            _ => false,
        };
        let new = state.counts.allocate(&self.file)?;
        if was_zeros {
            self.file.write_all_at(data, new + inside)?;
        } else {
            let start = offset - inside;
            let len = self.header.cluster().min(self.header.size.next_multiple_of(SECTOR) - start);
            let mut whole = read_whole(self.sources(old, start, len as usize)?)?;
            whole[inside as usize..][..data.len()].copy_from_slice(data);
            self.file.write_all_at(&whole, new)?;
            fdatasync(&self.file)?;
        }
        state.tables.set(&self.file, &self.header, &mut state.counts, offset, new)?;
        let cluster = self.header.cluster();
        match old {
            Cluster::Place { place, .. } | Cluster::Zeros(Some(place)) => state.counts.release(place),
            Cluster::Compressed { place, len } => {
                let (first, end) = (place / cluster, (place + len as u64).div_ceil(cluster));
                (first..end).for_each(|number| state.counts.release(number * cluster));
            }
            Cluster::Nowhere | Cluster::Zeros(None) => {}
        }
        Ok(())
    }
}

impl Image for Qcow2 {
    fn sectors(&self) -> u64 {
        self.header.size / SECTOR
    }

    fn file(&self) -> &Arc<File> {
        &self.file
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<(usize, Source)>> {
        let mut sources: Vec<(usize, Source)> = Vec::new();
        for (at, count) in self.runs(offset, len) {
            let cluster = {
                let mut state = self.state();
                let State { tables, counts, .. } = &mut *state;
                tables.find(&self.file, &self.header, counts, at)?
            };
            for (count, source) in self.sources(cluster, at, count)? {
                match (sources.last_mut(), &source) {
                    (Some((last, Source::Zeros)), Source::Zeros) => *last += count,
                    (Some((last, Source::File(a, start))), Source::File(b, next))
                        if Arc::ptr_eq(a, b) && *start + *last as u64 == *next =>
                    {
                        *last += count;
                    }
                    _ => sources.push((count, source)),
                }
            }
        }
        Ok(sources)
    }

    fn write(&self, offset: u64, len: usize) -> io::Result<Vec<(usize, Target)>> {
        let mut state = self.state();
        self.begin(&mut state)?;
        let mut targets: Vec<(usize, Target)> = Vec::new();
        for (at, count) in self.runs(offset, len) {
            let State { tables, counts, .. } = &mut *state;
            let found = tables.find(&self.file, &self.header, counts, at);
            let target = match self.judge(&mut state, found)? {
                Cluster::Place { place, alone: true } => Target::Place(place + at % self.header.cluster()),
                _ => Target::New,
            };
            match (targets.last_mut(), target) {
                (Some((last, Target::New)), Target::New) => *last += count,
                (Some((last, Target::Place(start))), Target::Place(next))
                    if *start + *last as u64 == next =>
                {
                    *last += count;
                }
                _ => targets.push((count, target)),
            }
        }
        Ok(targets)
    }

    fn write_new(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        self.begin(&mut state)?;
        for (at, count) in self.runs(offset, data.len()) {
            let start = (at - offset) as usize;
            let done = self.write_cluster(&mut state, at, &data[start..start + count]);
            self.judge(&mut state, done)?;
        }
        Ok(())
    }
}

impl Drop for Qcow2 {
    fn drop(&mut self) {
        let mut state = self.state();
        if state.begun
            && !state.broken
            && let Err(e) = state.counts.close(&self.file)
        {
            eprintln!("tenon-blockd: closing a qcow2 image: {e}; it has clusters that nothing uses");
        }
    }
}

/// Opens a backing file, whose name is relative to the image that names it.
fn backing(image: &Path, name: &str, format: Option<&str>, depth: usize) -> io::Result<Arc<dyn Image>> {
    let format = match format {
        None => return Err(Flaw::BackingFormat.into()),
        Some("raw" | "file") => Format::Raw,
        Some("qcow2") => Format::Qcow2,
        Some(other) => return Err(Flaw::Backing(format!("{name} ({other})")).into()),
    };
    // QEMU takes what is before a colon for a protocol.
    if name.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(Flaw::Backing(name.to_owned()).into());
    }
    let path = image.parent().unwrap_or(Path::new("/")).join(name);
    super::open_at(&path, format, true, depth + 1)
        .map_err(|e| io::Error::new(e.kind(), format!("backing file {}: {e}", path.display())))
}

#[cfg(test)]
mod tests;

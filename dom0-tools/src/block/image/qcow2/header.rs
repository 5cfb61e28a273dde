//! The header (`docs/interop/qcow2.txt` of QEMU), and what follows from it.
//!
//! Every size that is allocated later is bounded here.

use std::fs::File;
use std::io;

use super::flaw::Flaw;
use crate::block::engine::read;

const MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");
/// Bytes of a header of version 2.
const LEN_2: usize = 72;
/// Bytes of a header of version 3 without its optional fields.
const LEN_3: usize = 104;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const BACKING_NAME_MAX: u64 = 1023;
/// Bytes of the table of L2 tables, at most: QEMU's limit.
const L1_MAX: u64 = 32 << 20;
/// Bytes of the table of blocks of reference counts, at most: QEMU's limit.
const REFCOUNT_TABLE_MAX: u64 = 8 << 20;
/// Where QEMU stops, too: no place in a file is at or after this.
pub const PLACE_MAX: u64 = 1 << 56;

/// Where the bits of features are that keep older programs away.
pub const INCOMPATIBLE: u64 = 72;
/// In [`INCOMPATIBLE`]: somebody found damage.
pub const CORRUPT: u64 = 1 << 1;
const DIRTY: u64 = 1 << 0;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
/// Where the bits are of what a writer has to forget that does not keep it right.
pub const AUTOCLEAR: u64 = 88;
/// Where the place and size of the table of reference counts are.
pub const REFCOUNT_TABLE: u64 = 48;

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate.
    Zlib,
    /// Zstandard.
    Zstd,
}

/// What the header says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Bits of an offset in a cluster: 9 to 21.
    pub cluster_bits: u32,
    /// Bytes of the disk.
    pub size: u64,
    /// Place of the L1 table.
    pub l1_place: u64,
    /// Entries of the L1 table that are needed.
    pub l1_entries: usize,
    /// Place of the table of reference counts.
    pub refcount_table: u64,
    /// Clusters of it.
    pub refcount_clusters: u64,
    /// A reference count has two to the power of this bits.
    pub refcount_order: u32,
    /// Bits of incompatible features.
    pub incompatible: u64,
    /// Bits that a writer clears.
    pub autoclear: u64,
    /// How clusters are compressed.
    pub compression: Compression,
    /// Internal snapshots.
    pub snapshots: u32,
    /// The name and the format of the backing file.
    pub backing: Option<(String, Option<String>)>,
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_be_bytes(*b))
}

impl Header {
    /// Reads it from the start of a file.
    ///
    /// # Errors
    /// A [`Flaw`], or as the system says.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut fixed = [0; 112];
        read(file, 0, &mut fixed)?;
        let (magic, version, cluster_bits) = (be32(&fixed, 0), be32(&fixed, 4), be32(&fixed, 20));
        if magic != MAGIC {
            return Err(Flaw::NotQcow2.into());
        }
        if !(2..=3).contains(&version) {
            return Err(Flaw::Version(version).into());
        }
        if !(9..=21).contains(&cluster_bits) {
            return Err(Flaw::Field("cluster_bits", cluster_bits.into()).into());
        }
        // The header, its extensions and the backing file's name are in the first cluster.
        let mut first = vec![0; 1 << cluster_bits];
        read(file, 0, &mut first)?;
        Ok(Self::parse(&first, version, cluster_bits)?)
    }

    fn parse(first: &[u8], version: u32, cluster_bits: u32) -> Result<Self, Flaw> {
        let cluster = 1u64 << cluster_bits;
        let aligned = |name, place: u64| match place {
            1..PLACE_MAX if place.is_multiple_of(cluster) => Ok(place),
            _ => Err(Flaw::Field(name, place)),
        };
        if be32(first, 32) != 0 {
            return Err(Flaw::Encrypted);
        }
        let is_3 = version == 3;
        let (incompatible, autoclear) =
            if is_3 { (be64(first, INCOMPATIBLE as usize), be64(first, AUTOCLEAR as usize)) } else { (0, 0) };
        let length = if is_3 { be32(first, 100) as usize } else { LEN_2 };
        if (is_3 && length < LEN_3) || length > first.len() || !length.is_multiple_of(8) {
            return Err(Flaw::Field("header_length", length as u64));
        }
        let kind = first.get(104).copied().filter(|_| is_3 && length > LEN_3).unwrap_or(0);
        let compression = features(incompatible, kind)?;
        let size = be64(first, 24);
        // An L2 table is a cluster of 64-bit entries.
        let per_l1_entry = cluster * (cluster / 8);
        let (l1_entries, needed) = (be32(first, 36), size.div_ceil(per_l1_entry));
        if size >= PLACE_MAX || needed * 8 > L1_MAX {
            return Err(Flaw::Field("size", size));
        }
        if u64::from(l1_entries) < needed {
            return Err(Flaw::Field("l1_size", l1_entries.into()));
        }
        let refcount_clusters = u64::from(be32(first, 56));
        if refcount_clusters == 0 || refcount_clusters * cluster > REFCOUNT_TABLE_MAX {
            return Err(Flaw::Field("refcount_table_clusters", refcount_clusters));
        }
        let refcount_order = if is_3 { be32(first, 96) } else { 4 };
        if refcount_order > 6 {
            return Err(Flaw::Field("refcount_order", refcount_order.into()));
        }
        let l1_place = be64(first, 40);
        Ok(Self {
            version,
            cluster_bits,
            size,
            l1_place: if needed == 0 { l1_place } else { aligned("l1_table_offset", l1_place)? },
            l1_entries: needed as usize,
            refcount_table: aligned("refcount_table_offset", be64(first, REFCOUNT_TABLE as usize))?,
            refcount_clusters,
            refcount_order,
            incompatible,
            autoclear,
            compression,
            snapshots: be32(first, 60),
            backing: backing(first, length)?,
        })
    }

    /// Bytes of a cluster.
    #[must_use]
    pub fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Refuses what cannot be written to.
    ///
    /// # Errors
    /// The [`Flaw`].
    pub fn writable(&self) -> Result<(), Flaw> {
        match self {
            _ if self.incompatible & DIRTY != 0 => Err(Flaw::Dirty),
            _ if self.incompatible & CORRUPT != 0 => Err(Flaw::Corrupt),
            _ if self.snapshots > 0 => Err(Flaw::Snapshots(self.snapshots)),
            _ => Ok(()),
        }
    }
}

fn features(incompatible: u64, kind: u8) -> Result<Compression, Flaw> {
    if incompatible & EXTERNAL_DATA != 0 {
        return Err(Flaw::ExternalData);
    }
    if incompatible & EXTENDED_L2 != 0 {
        return Err(Flaw::ExtendedL2);
    }
    let unknown = incompatible & !(DIRTY | CORRUPT | COMPRESSION);
    if unknown != 0 {
        return Err(Flaw::Feature(unknown.trailing_zeros()));
    }
    match (incompatible & COMPRESSION != 0, kind) {
        (_, 0) => Ok(Compression::Zlib),
        (true, 1) => Ok(Compression::Zstd),
        _ => Err(Flaw::Compression(kind)),
    }
}

/// The backing file's name, and its format from the header's extensions, which begin at `at`.
fn backing(first: &[u8], mut at: usize) -> Result<Option<(String, Option<String>)>, Flaw> {
    let (place, len) = (be64(first, 8), u64::from(be32(first, 16)));
    if place == 0 || len == 0 {
        return Ok(None);
    }
    let text = |start: u64, len: u64| {
        let range = usize::try_from(start).ok()?..usize::try_from(start.checked_add(len)?).ok()?;
        first.get(range).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let name = text(place, len).filter(|_| len <= BACKING_NAME_MAX);
    let name = name.ok_or(Flaw::Field("backing_file_offset", place))?;
    let mut format = None;
    // Each extension takes at least 8 bytes of the first cluster.
    while at + 8 <= first.len() {
        let (kind, len) = (be32(first, at), u64::from(be32(first, at + 4)));
        match kind {
            0 => break,
            BACKING_FORMAT => {
                format = Some(text(at as u64 + 8, len).ok_or(Flaw::Field("extension length", len))?)
            }
            _ => {}
        }
        at = at.saturating_add(8 + len.next_multiple_of(8) as usize);
    }
    Ok(Some((name, format)))
}

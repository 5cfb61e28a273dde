//! What is wrong with an image, or what of it we do not do.

use std::{fmt, io};

/// The cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It does not begin as a qcow2 image does.
    NotQcow2,
    /// A version other than 2 and 3.
    Version(u32),
    /// A header's field holds what it cannot.
    Field(&'static str, u64),
    /// It is encrypted.
    Encrypted,
    /// Its data are in another file.
    ExternalData,
    /// Its clusters have parts.
    ExtendedL2,
    /// An incompatible feature that nobody had defined when this was written: a bit's number.
    Feature(u32),
    /// A way of compressing that is not zlib or zstd.
    Compression(u8),
    /// It was not closed, and its reference counts are not right.
    Dirty,
    /// Somebody found it damaged and said so in it.
    Corrupt,
    /// It has internal snapshots, which share its clusters.
    Snapshots(u32),
    /// Its backing file's format is not named: to guess it would be to believe a guest.
    BackingFormat,
    /// A backing file that is not a plain path, or of a format other than raw and qcow2.
    Backing(String),
    /// So many backing files behind one another.
    Depth(usize),
    /// An entry of a table points to a place that cannot be.
    Place(&'static str, u64),
    /// An entry of a table points to another table.
    Overlap(&'static str, u64),
    /// A reference count is 0 where something is.
    Count(u64),
    /// A compressed cluster is damaged.
    Compressed(u64),
    /// No more clusters can be counted.
    Full,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotQcow2 => f.write_str("this is not a qcow2 image"),
            Self::Version(version) => write!(f, "qcow2 version {version}; 2 and 3 are known"),
            Self::Field(name, value) => write!(f, "damaged qcow2 image: {name} cannot be {value:#x}"),
            Self::Encrypted => f.write_str("encrypted qcow2 images are not supported"),
            Self::ExternalData => f.write_str("qcow2 images with an external data file are not supported"),
            Self::ExtendedL2 => f.write_str("qcow2 images with extended L2 entries are not supported"),
            Self::Feature(bit) => write!(f, "the qcow2 image needs a feature that is not known: bit {bit}"),
            Self::Compression(kind) => {
                write!(f, "qcow2 compression type {kind}; zlib (0) and zstd (1) are known")
            }
            Self::Dirty => {
                f.write_str("the qcow2 image was not closed; repair it with: qemu-img check -r all")
            }
            Self::Corrupt => f.write_str("the qcow2 image is marked as corrupt; see: qemu-img check"),
            Self::Snapshots(count) => {
                write!(f, "the qcow2 image has {count} internal snapshots, and can only be read with them")
            }
            Self::BackingFormat => f.write_str(
                "the format of the backing file is not named; name it with: qemu-img rebase -u -F",
            ),
            Self::Backing(name) => write!(f, "backing file {name:?}: only raw and qcow2 files can be one"),
            Self::Depth(depth) => write!(f, "more than {depth} backing files behind one another"),
            Self::Place(what, place) => write!(f, "damaged qcow2 image: {what} cannot be at {place:#x}"),
            Self::Overlap(what, place) => {
                write!(f, "damaged qcow2 image: {what} at {place:#x} is where a table is")
            }
            Self::Count(place) => write!(f, "damaged qcow2 image: {place:#x} is in use and counted as free"),
            Self::Compressed(place) => {
                write!(f, "damaged qcow2 image: the compressed cluster at {place:#x} cannot be unpacked")
            }
            Self::Full => f.write_str("the qcow2 image's table of reference counts cannot grow any more"),
        }
    }
}

impl std::error::Error for Flaw {}

impl From<Flaw> for io::Error {
    fn from(flaw: Flaw) -> Self {
        Self::new(io::ErrorKind::InvalidData, flaw)
    }
}

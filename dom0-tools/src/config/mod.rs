//! Guest files: what an administrator writes to describe a guest.
//!
//! Two spellings of the same keys: the syntax of xl.cfg(5), so that existing Xen guests start unchanged, and
//! TOML for files named `*.toml`. Both become a list of located [`Assignment`]s; [`GuestConfig`] is made from
//! that list in one place, so both have the same rules and the same messages.

mod cpus;
mod disk;
mod error;
mod guest;
mod keys;
mod lexer;
mod nic;
mod parts;
mod toml_syntax;
mod uuid;
mod value;
mod vdev;
mod xl_syntax;

use std::path::Path;

pub use cpus::{CpuList, CpuListError, CpuSet};
pub use disk::{Backend, Disk, Format};
pub use error::{ConfigError, ConfigErrorKind};
pub use guest::{Action, GuestConfig, Loaded};
pub use nic::{Mac, Nic, NotAMac, Rate};
pub use uuid::Uuid;
pub use value::{Assignment, Located, Position, Value};
pub use vdev::{NotADisk, Vdev};

/// The largest guest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Which of the two spellings a file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// xl.cfg(5).
    Xl,
    /// TOML, for files named `*.toml`.
    Toml,
}

impl Syntax {
    /// The spelling that a file's name announces.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) { Self::Toml } else { Self::Xl }
    }
}

/// Reads and checks a guest file.
///
/// # Errors
/// The first thing in the file that cannot be accepted, with its position.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let at = |kind| ConfigError { file: path.to_owned(), position: None, kind };
    let size = std::fs::metadata(path).map_err(|e| at(ConfigErrorKind::Read(e)))?.len();
    if size > MAX_FILE_BYTES {
        return Err(at(ConfigErrorKind::TooLarge { size, limit: MAX_FILE_BYTES }));
    }
    let bytes = std::fs::read(path).map_err(|e| at(ConfigErrorKind::Read(e)))?;
    parse(&bytes, Syntax::of(path)).map_err(|(position, kind)| ConfigError {
        file: path.to_owned(),
        position,
        kind,
    })
}

/// Checks the contents of a guest file.
///
/// # Errors
/// The first thing that cannot be accepted, and where it stands if it stands somewhere.
pub fn parse(bytes: &[u8], syntax: Syntax) -> Result<Loaded, (Option<Position>, ConfigErrorKind)> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let position = Position::of_byte(bytes, e.valid_up_to());
        (Some(position), ConfigErrorKind::NotUtf8)
    })?;
    let assignments = match syntax {
        Syntax::Xl => xl_syntax::parse(text),
        Syntax::Toml => toml_syntax::parse(text),
    }
    .map_err(|e| (Some(e.at), e.value))?;
    guest::from_assignments(&assignments)
}

#[cfg(test)]
mod tests;

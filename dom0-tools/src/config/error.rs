//! What can be wrong with a guest file.

use std::{fmt, io, path::PathBuf};

use super::value::Position;

/// Why a guest file was refused: `FILE:LINE:COLUMN: cause`.
#[derive(Debug)]
pub struct ConfigError {
    /// The guest file.
    pub file: PathBuf,
    /// Where in it; `None` when it is about the file as a whole.
    pub position: Option<Position>,
    /// The cause.
    pub kind: ConfigErrorKind,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(position) = self.position {
            write!(f, "{position}:")?;
        }
        write!(f, " {}", self.kind)
    }
}

impl std::error::Error for ConfigError {}

/// The cause of a refusal.
#[derive(Debug)]
pub enum ConfigErrorKind {
    /// The file could not be read.
    Read(io::Error),
    /// The file is larger than any guest file has reason to be.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest size accepted, in bytes.
        limit: u64,
    },
    /// The file is not text.
    NotUtf8,
    /// A character that begins nothing.
    StrayCharacter(char),
    /// A quoted string that does not end on its line.
    OpenString,
    /// A backslash sequence that means nothing.
    BadEscape(String),
    /// A number that is none, or does not fit into 64 bits.
    BadNumber(String),
    /// Something else was expected here.
    Expected {
        /// What should stand here.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
    /// Lists nested deeper than any key uses.
    TooDeep {
        /// The deepest nesting accepted.
        limit: usize,
    },
    /// The TOML parser's own complaint.
    Toml(String),
    /// A key that no version of xl or Tenon knows.
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that looks most like it.
        suggestion: Option<&'static str>,
    },
    /// A key of xl.cfg that Tenon does not act on.
    NotSupportedYet {
        /// The key, or the key and its value.
        what: String,
    },
    /// The same key twice.
    Repeated {
        /// The key.
        key: String,
        /// Where it was given first.
        first: Position,
    },
    /// Two elements of a list that cannot be the same are.
    Twice {
        /// The list.
        key: &'static str,
        /// What they have in common.
        what: String,
    },
    /// A value of the wrong kind.
    WrongKind {
        /// The key.
        key: &'static str,
        /// What it takes.
        wants: &'static str,
        /// What it was given.
        found: &'static str,
    },
    /// A value outside its limits.
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
        /// The rule it breaks.
        rule: String,
    },
    /// A key that must be there is not.
    Missing {
        /// The key.
        key: &'static str,
    },
}

impl fmt::Display for ConfigErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => write!(f, "cannot read the guest file: {e}"),
            Self::TooLarge { size, limit } => write!(f, "{size} bytes; a guest file has at most {limit}"),
            Self::NotUtf8 => write!(f, "not UTF-8 text"),
            Self::StrayCharacter(c) => write!(f, "unexpected character {c:?}"),
            Self::OpenString => write!(f, "the string does not end on this line"),
            Self::BadEscape(s) => write!(f, "unknown escape {s:?} in a string"),
            Self::BadNumber(s) => write!(f, "{s:?} is not a number from 0 to 2^64 - 1"),
            Self::Expected { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::TooDeep { limit } => write!(f, "lists are nested more than {limit} deep"),
            Self::Toml(message) => write!(f, "{message}"),
            Self::UnknownKey { key, suggestion: Some(s) } => {
                write!(f, "unknown key {key:?}; did you mean {s:?}?")
            }
            Self::UnknownKey { key, suggestion: None } => write!(f, "unknown key {key:?}"),
            Self::NotSupportedYet { what } => write!(f, "not supported yet: {what}"),
            Self::Repeated { key, first } => write!(f, "{key:?} was already given at line {}", first.line),
            Self::Twice { key, what } => write!(f, "{key} has {what} twice"),
            Self::WrongKind { key, wants, found } => write!(f, "{key} takes {wants}, not {found}"),
            Self::BadValue { key, value, rule } => write!(f, "{key} = {value}: {rule}"),
            Self::Missing { key } => write!(f, "{key:?} is missing"),
        }
    }
}

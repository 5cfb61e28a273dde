//! Paths of nodes.
//!
//! Invariant: a [`Path`] is absolute and valid by the rules of `xenstore.txt`: characters `A-Za-z0-9-/_@`, no
//! doubled and no trailing slash (the root excepted), at most [`ABS_PATH_MAX`] bytes.

use super::ids::DomId;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

pub use hypercall_abi::io::xs_wire::{ABS_PATH_MAX, REL_PATH_MAX};

/// The absolute path of a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path(Rc<str>);

/// Which rule a path breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// No byte at all.
    Empty,
    /// More bytes than the limit given.
    TooLong(usize),
    /// A byte that paths may not hold.
    Character(u8),
    /// Two slashes in a row.
    DoubledSlash,
    /// No slash at the start, where a relative path makes no sense.
    NotAbsolute,
    /// A slash at the end.
    TrailingSlash,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the path is empty"),
            Self::TooLong(limit) => write!(f, "the path is longer than {limit} bytes"),
            Self::Character(byte) => write!(f, "the path holds the byte {byte:#04x}"),
            Self::DoubledSlash => write!(f, "the path holds a doubled slash"),
            Self::NotAbsolute => write!(f, "the path is not absolute"),
            Self::TrailingSlash => write!(f, "the path ends in a slash"),
        }
    }
}

impl Path {
    /// The root node's path.
    #[must_use]
    pub fn root() -> Self {
        Self(Rc::from("/"))
    }

    /// The path under which a domain's own nodes live and to which its relative paths refer.
    #[must_use]
    pub fn home(domid: DomId) -> Self {
        Self(Rc::from(format!("/local/domain/{}", domid.0)))
    }

    /// Checks an absolute path.
    pub fn absolute(text: &str) -> Result<Self, PathError> {
        if text.len() > ABS_PATH_MAX {
            return Err(PathError::TooLong(ABS_PATH_MAX));
        }
        check(text.as_bytes())?;
        if text.len() > 1 && text.ends_with('/') {
            return Err(PathError::TrailingSlash);
        }
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        Ok(Self(Rc::from(text)))
    }

    /// Checks a path as a request carries it; a relative one is taken to be below the caller's [`home`].
    /// Also tells whether it was relative.
    ///
    /// [`home`]: Path::home
    pub fn parse(raw: &[u8], caller: DomId) -> Result<(Self, bool), PathError> {
        check(raw)?;
        let text = core::str::from_utf8(raw).map_err(|_| PathError::Character(0x80))?;
        if text.starts_with('/') {
            return Self::absolute(text).map(|path| (path, false));
        }
        if text.len() > REL_PATH_MAX {
            return Err(PathError::TooLong(REL_PATH_MAX));
        }
        Self::absolute(&format!("{}/{text}", Self::home(caller))).map(|path| (path, true))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The node's own name; the root has none.
    #[must_use]
    pub fn leaf(&self) -> Option<&str> {
        self.names().last()
    }

    /// The parent; the root has none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self.0.rfind('/')? {
            _ if self.is_root() => None,
            0 => Some(Self::root()),
            at => Some(Self(Rc::from(&self.0[..at]))),
        }
    }

    /// A child's path; `name` is one that the tree holds already.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let slash = if self.is_root() { "" } else { "/" };
        Self(Rc::from(format!("{}{slash}{name}", self.0)))
    }

    /// Whether this path is `other` or below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        is_within(&self.0, &other.0)
    }
}

/// Whether `path` is `above` or below it. Also right for the names of special watches.
#[must_use]
pub fn is_within(path: &str, above: &str) -> bool {
    match path.strip_prefix(above) {
        Some(rest) => rest.is_empty() || above == "/" || rest.starts_with('/'),
        None => false,
    }
}

fn check(raw: &[u8]) -> Result<(), PathError> {
    if raw.is_empty() {
        return Err(PathError::Empty);
    }
    if let Some(&byte) = raw.iter().find(|byte| !(byte.is_ascii_alphanumeric() || b"-/_@".contains(byte))) {
        return Err(PathError::Character(byte));
    }
    if raw.windows(2).any(|pair| pair == b"//") {
        return Err(PathError::DoubledSlash);
    }
    Ok(())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let parse = |text: &str| Path::parse(text.as_bytes(), DomId(3));
        assert_eq!(parse("/a/b").unwrap().0.as_str(), "/a/b");
        assert_eq!(parse("x/y").unwrap(), (Path::absolute("/local/domain/3/x/y").unwrap(), true));
        assert_eq!(parse("/").unwrap().0, Path::root());
        assert_eq!(parse(""), Err(PathError::Empty));
        assert_eq!(parse("/a/"), Err(PathError::TrailingSlash));
        assert_eq!(parse("/a//b"), Err(PathError::DoubledSlash));
        assert_eq!(parse("/a b"), Err(PathError::Character(b' ')));
        assert_eq!(Path::parse(b"/\xff", DomId(0)), Err(PathError::Character(0xff)));
        assert_eq!(parse(&format!("/{}", "a".repeat(ABS_PATH_MAX))), Err(PathError::TooLong(ABS_PATH_MAX)));
        assert_eq!(parse(&"a".repeat(REL_PATH_MAX + 1)), Err(PathError::TooLong(REL_PATH_MAX)));
    }

    #[test]
    fn family() {
        let path = Path::absolute("/a/b").unwrap();
        assert_eq!(path.parent().unwrap().as_str(), "/a");
        assert_eq!(path.parent().unwrap().parent().unwrap(), Path::root());
        assert_eq!(Path::root().parent(), None);
        assert_eq!(path.leaf(), Some("b"));
        assert_eq!(Path::root().leaf(), None);
        assert_eq!(Path::root().child("a").child("b"), path);
        assert!(path.is_within(&Path::root()) && path.is_within(&path));
        assert!(!Path::absolute("/a-b").unwrap().is_within(&Path::absolute("/a").unwrap()));
    }
}

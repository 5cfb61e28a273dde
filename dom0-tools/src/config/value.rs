//! What both spellings of a guest file have in common: located keys and values.

use std::fmt;

/// A place in a guest file, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character within the line.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The position of byte `offset` of `text` (the end, if it lies beyond).
    #[must_use]
    pub fn of_byte(text: &[u8], offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let lines = before.iter().filter(|&&b| b == b'\n').count();
        // Continuation bytes of UTF-8 are no characters of their own.
        let characters = before[line_start..].iter().filter(|&&b| b & 0xc0 != 0x80).count();
        Self { line: saturating(lines), column: saturating(characters) }
    }
}

fn saturating(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Something together with the place where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// Where it begins.
    pub at: Position,
    /// The thing itself.
    pub value: T,
}

impl<T> Located<T> {
    /// `value`, which begins at `at`.
    pub const fn new(at: Position, value: T) -> Self {
        Self { at, value }
    }
}

/// The right-hand side of an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Quoted text.
    Text(String),
    /// A whole number from 0; TOML's `false` and `true` are 0 and 1.
    Number(u64),
    /// A list, possibly of lists.
    List(Vec<Located<Value>>),
    /// Keys with values of their own; TOML only.
    Table(Vec<Assignment>),
}

impl Value {
    /// What kind of value this is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The left-hand side.
    pub key: Located<String>,
    /// The right-hand side.
    pub value: Located<Value>,
}

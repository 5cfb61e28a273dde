//! Words of the xl.cfg syntax, with their positions.
//!
//! Names, numbers, strings in either quote with C's escapes, `= += , ; [ ]`, line ends, and `#` comments.

use super::error::ConfigErrorKind;
use super::value::{Located, Position};

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A bare word.
    Name(String),
    /// A quoted string, its escapes resolved.
    Text(String),
    /// A number.
    Number(u64),
    /// `=`
    Assign,
    /// `+=`
    Append,
    /// `,`
    Comma,
    /// `[`
    Open,
    /// `]`
    Close,
    /// The end of a line, `;`, or the end of the file.
    End,
}

impl Token {
    /// The word as a message shows it.
    pub fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("{name:?}"),
            Self::Text(text) => format!("the string {text:?}"),
            Self::Number(number) => format!("the number {number}"),
            Self::Assign => "'='".into(),
            Self::Append => "'+='".into(),
            Self::Comma => "','".into(),
            Self::Open => "'['".into(),
            Self::Close => "']'".into(),
            Self::End => "the end of the line".into(),
        }
    }
}

type LexError = Located<ConfigErrorKind>;

struct Cursor<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    at: Position,
}

impl Cursor<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.at.line = self.at.line.saturating_add(1);
            self.at.column = 1;
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.peek().filter(|&c| accept(c)) {
            taken.push(c);
            self.next();
        }
        taken
    }

    /// A string up to its closing `quote`; the opening one is gone already.
    fn string(&mut self, start: Position, quote: char) -> Result<Token, LexError> {
        // Collected as bytes: `\x` escapes name bytes, and only the whole must be UTF-8.
        let mut bytes = Vec::new();
        loop {
            let at = self.at;
            match self.next() {
                None | Some('\n') => return Err(Located::new(start, ConfigErrorKind::OpenString)),
                Some(c) if c == quote => break,
                Some('\\') => bytes.push(self.escape(at)?),
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        let text = String::from_utf8(bytes).map_err(|_| Located::new(start, ConfigErrorKind::NotUtf8))?;
        if text.contains('\0') {
            return Err(Located::new(start, ConfigErrorKind::BadEscape("\\0".into())));
        }
        Ok(Token::Text(text))
    }

    /// The byte that an escape stands for; the backslash is gone already.
    fn escape(&mut self, at: Position) -> Result<u8, LexError> {
        let bad = |s: String| Located::new(at, ConfigErrorKind::BadEscape(s));
        let (digits, radix) = match self.next() {
            Some('a') => return Ok(7),
            Some('b') => return Ok(8),
            Some('t') => return Ok(b'\t'),
            Some('n') => return Ok(b'\n'),
            Some('v') => return Ok(11),
            Some('f') => return Ok(12),
            Some('r') => return Ok(b'\r'),
            Some(c @ ('\\' | '\'' | '"')) => return Ok(c as u8),
            Some('x') => (self.digits(String::new(), 2, 16), 16),
            Some(c @ '0'..='7') => (self.digits(c.into(), 3, 8), 8),
            Some(c) => return Err(bad(format!("\\{c}"))),
            None => return Err(bad("\\".into())),
        };
        u8::from_str_radix(&digits, radix).map_err(|_| bad(format!("\\{digits}")))
    }

    fn digits(&mut self, mut digits: String, most: usize, radix: u32) -> String {
        while digits.len() < most {
            let Some(c) = self.peek().filter(|c| c.is_digit(radix)) else { break };
            digits.push(c);
            self.next();
        }
        digits
    }
}

fn number(word: &str) -> Option<u64> {
    // As C's strtoul with base 0 reads it.
    if let Some(hex) = word.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else if word.len() > 1 && word.starts_with('0') {
        u64::from_str_radix(word, 8).ok()
    } else {
        word.parse().ok()
    }
}

/// Splits a guest file into its words. The last word is always [`Token::End`].
pub fn tokens(text: &str) -> Result<Vec<Located<Token>>, LexError> {
    let mut cursor = Cursor { rest: text.chars().peekable(), at: Position::START };
    let mut found = Vec::new();
    while let Some(c) = cursor.peek() {
        let at = cursor.at;
        let token = match c {
            'a'..='z' | 'A'..='Z' | '_' => {
                Token::Name(cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '_'))
            }
            '0'..='9' => {
                let word = cursor.take_while(|c| c.is_ascii_alphanumeric());
                Token::Number(number(&word).ok_or(Located::new(at, ConfigErrorKind::BadNumber(word)))?)
            }
            _ => {
                cursor.next();
                match c {
                    ' ' | '\t' | '\r' => continue,
                    '#' => {
                        cursor.take_while(|c| c != '\n');
                        continue;
                    }
                    '\n' | ';' => Token::End,
                    '=' => Token::Assign,
                    ',' => Token::Comma,
                    '[' => Token::Open,
                    ']' => Token::Close,
                    '+' if cursor.peek() == Some('=') => {
                        cursor.next();
                        Token::Append
                    }
                    '\'' | '"' => cursor.string(at, c)?,
                    _ => return Err(Located::new(at, ConfigErrorKind::StrayCharacter(c))),
                }
            }
        };
        found.push(Located::new(at, token));
    }
    found.push(Located::new(cursor.at, Token::End));
    Ok(found)
}

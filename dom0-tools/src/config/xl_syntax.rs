//! The xl.cfg grammar: `key = value` per line or between semicolons; `[a, b,]` may span lines; `key += value`
//! extends an earlier text or list.

use super::error::ConfigErrorKind;
use super::lexer::{self, Token};
use super::value::{Assignment, Located, Value};

/// The deepest nesting of lists: deeper than any key of xl.cfg uses.
const MAX_DEPTH: usize = 8;

type ParseError = Located<ConfigErrorKind>;

/// Reads a file in xl.cfg syntax into its assignments, in order.
pub fn parse(text: &str) -> Result<Vec<Assignment>, ParseError> {
    let words = lexer::tokens(text)?;
    let mut parser = Parser { rest: &words };
    let mut found: Vec<Assignment> = Vec::new();
    while let Some(word) = parser.take() {
        let key = match &word.value {
            Token::End => continue,
            Token::Name(name) => Located::new(word.at, name.clone()),
            _ => return Err(unexpected("a key", word)),
        };
        let operator = parser.expect("'='", |t| matches!(t, Token::Assign | Token::Append))?;
        let value = parser.value(0)?;
        parser.expect("the end of the line or ';'", |t| *t == Token::End)?;
        if operator.value == Token::Assign {
            found.push(Assignment { key, value });
        } else {
            append(&mut found, key, value)?;
        }
    }
    Ok(found)
}

fn unexpected(expected: &'static str, word: &Located<Token>) -> ParseError {
    Located::new(word.at, ConfigErrorKind::Expected { expected, found: word.value.describe() })
}

struct Parser<'a> {
    /// What is still to be read; the lexer ends it with [`Token::End`].
    rest: &'a [Located<Token>],
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Option<&'a Located<Token>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn expect(
        &mut self,
        expected: &'static str,
        accept: impl Fn(&Token) -> bool,
    ) -> Result<&'a Located<Token>, ParseError> {
        match self.take() {
            Some(word) if accept(&word.value) => Ok(word),
            Some(word) => Err(unexpected(expected, word)),
            None => Err(Located::new(
                super::Position::START,
                ConfigErrorKind::Expected { expected, found: "the end of the file".into() },
            )),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Located<Value>, ParseError> {
        let word = self.expect("a value", |_| true)?;
        let value = match &word.value {
            Token::Text(text) => Value::Text(text.clone()),
            Token::Number(number) => Value::Number(*number),
            Token::Open if depth == MAX_DEPTH => {
                return Err(Located::new(word.at, ConfigErrorKind::TooDeep { limit: MAX_DEPTH }));
            }
            Token::Open => Value::List(self.list(depth + 1)?),
            Token::Name(_) => return Err(unexpected("a value (text needs quotes)", word)),
            _ => return Err(unexpected("a value", word)),
        };
        Ok(Located::new(word.at, value))
    }

    /// The rest of a list, after its `[`. Commas separate and may trail; line ends mean nothing in here.
    fn list(&mut self, depth: usize) -> Result<Vec<Located<Value>>, ParseError> {
        let mut items = Vec::new();
        loop {
            self.skip_line_ends();
            if self.next_is(&Token::Close) {
                self.take();
                return Ok(items);
            }
            items.push(self.value(depth)?);
            self.skip_line_ends();
            let after = self.expect("',' or ']'", |t| matches!(t, Token::Comma | Token::Close))?;
            if after.value == Token::Close {
                return Ok(items);
            }
        }
    }

    fn next_is(&self, token: &Token) -> bool {
        self.rest.first().is_some_and(|word| word.value == *token)
    }

    /// Leaves the file's own last `End`, so that an unclosed list is reported where the file ends.
    fn skip_line_ends(&mut self) {
        while self.rest.len() > 1 && self.next_is(&Token::End) {
            self.take();
        }
    }
}

/// `key += value`: joins texts and lists, and is a plain assignment when there is nothing to extend.
fn append(
    found: &mut Vec<Assignment>,
    key: Located<String>,
    value: Located<Value>,
) -> Result<(), ParseError> {
    let Some(earlier) = found.iter_mut().rfind(|a| a.key.value == key.value) else {
        found.push(Assignment { key, value });
        return Ok(());
    };
    match (&mut earlier.value.value, value.value) {
        (Value::Text(text), Value::Text(more)) => text.push_str(&more),
        (Value::List(list), Value::List(more)) => list.extend(more),
        (to, more) => {
            let expected = match to {
                Value::List(_) => "a list to append",
                Value::Text(_) => "text to append",
                Value::Number(_) | Value::Table(_) => "'=' (this cannot be extended)",
            };
            let found = more.kind().into();
            return Err(Located::new(value.at, ConfigErrorKind::Expected { expected, found }));
        }
    }
    Ok(())
}

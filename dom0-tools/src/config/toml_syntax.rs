//! The same keys as TOML.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigErrorKind;
use super::value::{Assignment, Located, Position, Value};

/// Reads a file in TOML into its assignments, in the order in which they stand.
pub fn parse(text: &str) -> Result<Vec<Assignment>, Located<ConfigErrorKind>> {
    let at = |span: Range<usize>| Position::of_byte(text.as_bytes(), span.start);
    let table = DeTable::parse(text).map_err(|e| {
        let position = e.span().map_or(Position::START, at);
        Located::new(position, ConfigErrorKind::Toml(e.message().to_owned()))
    })?;
    assignments(table.get_ref(), &at)
}

fn assignments(
    table: &DeTable<'_>,
    at: &impl Fn(Range<usize>) -> Position,
) -> Result<Vec<Assignment>, Located<ConfigErrorKind>> {
    let mut found = Vec::new();
    for (key, item) in table {
        let name = Located::new(at(key.span()), key.get_ref().clone().into_owned());
        found.push(Assignment { key: name, value: value(item, at)? });
    }
    found.sort_by_key(|a| a.key.at);
    Ok(found)
}

fn value(
    item: &Spanned<DeValue<'_>>,
    at: &impl Fn(Range<usize>) -> Position,
) -> Result<Located<Value>, Located<ConfigErrorKind>> {
    let position = at(item.span());
    let unexpected = |found: String| {
        let expected = "text, a number from 0, true, false, an array or a table";
        Located::new(position, ConfigErrorKind::Expected { expected, found })
    };
    let value = match item.get_ref() {
        DeValue::String(text) if text.contains('\0') => {
            return Err(Located::new(position, ConfigErrorKind::BadEscape("\\u0000".into())));
        }
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Boolean(on) => Value::Number(u64::from(*on)),
        DeValue::Integer(digits) => {
            let number = u64::from_str_radix(digits.as_str(), digits.radix());
            Value::Number(number.map_err(|_| unexpected(digits.to_string()))?)
        }
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| value(item, at)).collect::<Result<_, _>>()?)
        }
        DeValue::Float(digits) => return Err(unexpected(digits.to_string())),
        DeValue::Datetime(date) => return Err(unexpected(date.to_string())),
        DeValue::Table(entries) => Value::Table(assignments(entries, at)?),
    };
    Ok(Located::new(position, value))
}

//! One element of a device list: the words between the commas of a text, or the entries of a TOML table.

use super::value::{Located, Value};

/// A word of an element: `key=value`, or a value by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What stands before the `=`.
    pub key: Option<String>,
    /// The rest; `"1"` and `"0"` for what TOML calls true and false.
    pub value: String,
}

/// Splits a text at its commas. What follows the key `whole` is not split, so that it may have commas of its own.
#[must_use]
pub fn split(text: &str, whole: Option<&str>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = Some(text.trim());
    while let Some(text) = rest {
        let text = text.trim_start();
        let after_key = whole.and_then(|key| text.strip_prefix(key));
        let takes_all = after_key.and_then(|after| after.trim_start().strip_prefix('='));
        let (word, after) = match (takes_all, text.split_once(',')) {
            (None, Some((word, after))) => (word, Some(after)),
            _ => (text, None),
        };
        rest = after;
        parts.push(match word.split_once('=') {
            Some((key, value)) => Part { key: Some(key.trim().to_owned()), value: value.trim().to_owned() },
            None => Part { key: None, value: word.trim().to_owned() },
        });
    }
    parts
}

/// The parts of a list's element; `None` if it is neither text nor a table of simple values.
#[must_use]
pub fn of(element: &Located<Value>, whole: Option<&str>) -> Option<Vec<Part>> {
    match &element.value {
        Value::Text(text) => Some(split(text, whole)),
        Value::Table(entries) => entries
            .iter()
            .map(|entry| {
                let value = match &entry.value.value {
                    Value::Text(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::List(_) | Value::Table(_) => return None,
                };
                Some(Part { key: Some(entry.key.value.clone()), value })
            })
            .collect(),
        Value::Number(_) | Value::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_but_for_the_one_that_takes_all() {
        let shown = |text| -> Vec<String> {
            let show = |part: Part| format!("{}={}", part.key.unwrap_or_default(), part.value);
            split(text, Some("target")).into_iter().map(show).collect()
        };
        assert_eq!(shown(" /a , raw,xvda,w"), ["=/a", "=raw", "=xvda", "=w"]);
        assert_eq!(shown("vdev=xvda,target=/a,b=c"), ["vdev=xvda", "target=/a,b=c"]);
        assert_eq!(shown(""), ["="]);
        assert_eq!(shown("a,,b,"), ["=a", "=", "=b", "="]);
    }
}

//! Results for people and for programs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use super::exit::Failure;

/// Prints a result as JSON.
///
/// # Errors
/// If standard output is gone.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::refused)?;
    line(&text)
}

/// Prints a line. A reader that has seen enough and closed the pipe is no error.
///
/// # Errors
/// If standard output is gone.
pub fn line(text: &str) -> Result<(), Failure> {
    bytes(&[text.as_bytes(), b"\n"].concat())
}

/// Prints bytes as they are.
///
/// # Errors
/// As for [`line`].
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(bytes) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::refused(e)),
        _ => Ok(()),
    }
}

/// Prints rows under a heading, every column as wide as its widest cell.
///
/// # Errors
/// As for [`line`].
pub fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heading[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    line(&row(heading, widths))?;
    for cells in rows {
        line(&row(cells.each_ref().map(String::as_str), widths))?;
    }
    Ok(())
}

fn row<const N: usize>(cells: [&str; N], widths: [usize; N]) -> String {
    let cells: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

/// Prints why the command failed.
pub fn failure(failure: &Failure, as_json: bool) {
    // Nothing can be done if standard error is gone, too; the exit status still says it.
    let mut to = io::stderr();
    let _ = if as_json {
        writeln!(to, "{}", json!({ "error": failure.message, "exit": failure.exit as u8 }))
    } else {
        writeln!(to, "tenon: {}", failure.message)
    };
}

/// Prints a remark that changes nothing about the result.
pub fn note(text: &str) {
    // As above.
    let _ = writeln!(io::stderr(), "tenon: note: {text}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        assert_eq!(super::row(["a", "bc", ""], [3, 2, 5]), "a    bc");
    }
}

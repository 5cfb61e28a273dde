//! Lines that a guest writes byte by byte.

use core::str;

/// A line being written; longer ones are cut into pieces.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; Self::MAX], len: 0 }
    }
}

impl Line {
    /// The longest piece.
    pub const MAX: usize = 160;

    /// Adds a byte; gives the line to `done` when it is complete or full. Bytes that are not printable ASCII come out
    /// as `?`, so that a guest cannot drive the terminal that shows the log.
    pub fn push(&mut self, byte: u8, done: impl FnOnce(&str)) {
        if byte != b'\n' && byte != b'\r' {
            let shown = if matches!(byte, b' '..=b'~' | b'\t') { byte } else { b'?' };
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = shown;
                self.len += 1;
            }
        }
        if (byte == b'\n' && self.len > 0) || self.len == Self::MAX {
            let text = self.bytes.get(..self.len).and_then(|b| str::from_utf8(b).ok()).unwrap_or("");
            done(text);
            self.len = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn lines_come_out_whole_and_harmless() {
        let mut line = Line::default();
        let mut got: Vec<String> = Vec::new();
        for byte in *b"one\r\n\x1b[2Jtwo\n\n" {
            line.push(byte, |text| got.push(text.into()));
        }
        assert_eq!(got, ["one", "?[2Jtwo"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut line = Line::default();
        let mut pieces = 0;
        for _ in 0..Line::MAX * 3 {
            line.push(b'x', |text| {
                assert_eq!(text.len(), Line::MAX);
                pieces += 1;
            });
        }
        assert_eq!(pieces, 3);
    }
}

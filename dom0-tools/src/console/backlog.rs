//! Output that waits for somebody to look at it: the newest bytes, up to a limit.

use std::collections::VecDeque;

/// Bytes that are kept.
const LIMIT: usize = 64 * 1024;

/// A bounded queue that forgets its oldest bytes.
#[derive(Debug, Default)]
pub struct Backlog(VecDeque<u8>);

impl Backlog {
    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(LIMIT)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(LIMIT);
        self.0.drain(..excess);
        self.0.extend(bytes);
    }

    /// The oldest bytes, as many as lie in one piece.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        self.0.as_slices().0
    }

    /// Forgets the oldest `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.0.drain(..count.min(self.0.len()));
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_stay() {
        let mut backlog = Backlog::default();
        backlog.push(&[1; 10]);
        backlog.push(&vec![2; LIMIT + 5]);
        backlog.push(&[3; 4]);
        let mut all = Vec::new();
        while !backlog.is_empty() {
            all.extend_from_slice(backlog.front());
            backlog.consume(backlog.front().len());
        }
        assert_eq!(all.len(), LIMIT);
        assert_eq!(all[LIMIT - 5..], [2, 3, 3, 3, 3]);
    }
}

//! The console's memory: the last bytes written, for `dmesg` in domain 0.
//!
//! Positions count bytes ever written and never wrap in practice (64 bits).

/// A ring of the last `N` bytes.
pub struct ConsoleRing<const N: usize> {
    bytes: [u8; N],
    written: u64,
}

impl<const N: usize> ConsoleRing<N> {
    /// An empty ring.
    pub const fn new() -> Self {
        Self { bytes: [0; N], written: 0 }
    }

    /// Appends bytes; the oldest make room.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes[(self.written % N as u64) as usize] = *byte;
            self.written += 1;
        }
    }

    /// The position after the last byte written.
    pub const fn end(&self) -> u64 {
        self.written
    }

    /// The position of the oldest byte still there.
    pub const fn start(&self) -> u64 {
        self.written.saturating_sub(N as u64)
    }

    /// Copies bytes from position `from` on (or from the oldest byte, where that one is gone) and returns the
    /// position after the last byte copied together with the number of bytes.
    pub fn read(&self, from: u64, into: &mut [u8]) -> (u64, usize) {
        let mut at = from.clamp(self.start(), self.end());
        let mut count = 0;
        for slot in into.iter_mut() {
            if at == self.end() {
                break;
            }
            *slot = self.bytes[(at % N as u64) as usize];
            at += 1;
            count += 1;
        }
        (at, count)
    }
}

impl<const N: usize> Default for ConsoleRing<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_follows_the_writer() {
        let mut ring = ConsoleRing::<8>::new();
        let mut buf = [0; 4];
        ring.write(b"abc");
        assert_eq!(ring.read(0, &mut buf), (3, 3));
        assert_eq!(&buf[..3], b"abc");
        assert_eq!(ring.read(3, &mut buf), (3, 0));
    }

    #[test]
    fn a_late_reader_starts_at_the_oldest_byte() {
        let mut ring = ConsoleRing::<4>::new();
        ring.write(b"abcdefg");
        let mut buf = [0; 8];
        assert_eq!(ring.read(0, &mut buf), (7, 4));
        assert_eq!(&buf[..4], b"defg");
        assert_eq!(ring.read(u64::MAX, &mut buf), (7, 0));
    }
}

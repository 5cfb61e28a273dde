//! The output, which is also the dictionary: matches copy from what was written before.

use crate::unpack::UnpackError;

/// Bytes that a match is copied in at once.
const STEP: usize = 16;
/// The same for shorter distances.
const HALF: usize = 8;

/// The output as far as it is written.
pub struct Window<'a> {
    out: &'a mut [u8],
    /// Where the next byte goes.
    pos: usize,
    /// Where the dictionary starts: nothing before may be referred to.
    start: usize,
}

impl<'a> Window<'a> {
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, pos: 0, start: 0 }
    }

    /// Bytes written.
    pub fn written(&self) -> usize {
        self.pos
    }

    /// Bytes that still have room.
    pub fn room(&self) -> usize {
        self.out.len() - self.pos
    }

    /// Bytes written since the dictionary started.
    #[inline(always)]
    pub fn filled(&self) -> usize {
        self.pos - self.start
    }

    /// The same window for a loop to work on, which then lives in registers. See [`advance`](Self::advance).
    pub fn reborrow(&mut self) -> Window<'_> {
        Window { out: self.out, pos: self.pos, start: self.start }
    }

    /// Takes over the progress of a reborrowed window.
    pub fn advance(&mut self, written: usize) {
        self.pos = written;
    }

    /// Forgets what was written.
    pub fn reset(&mut self) {
        self.start = self.pos;
    }

    /// What was written from `from` on.
    pub fn since(&mut self, from: usize) -> &mut [u8] {
        self.out.get_mut(from..self.pos).unwrap_or_default()
    }

    /// The byte written last but `distance`; 0 before the start.
    #[inline(always)]
    pub fn back(&self, distance: usize) -> u8 {
        if distance < self.filled() { self.out[self.pos - 1 - distance] } else { 0 }
    }

    /// Appends a byte.
    #[inline(always)]
    pub fn push(&mut self, byte: u8) -> Result<(), UnpackError> {
        *self.out.get_mut(self.pos).ok_or(FULL)? = byte;
        self.pos += 1;
        Ok(())
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        self.out
            .get_mut(self.pos..)
            .and_then(|room| room.get_mut(..bytes.len()))
            .ok_or(FULL)?
            .copy_from_slice(bytes);
        self.pos += bytes.len();
        Ok(())
    }

    /// Appends `len` bytes that start `distance + 1` bytes back; they may overlap what is being appended.
    #[inline(always)]
    pub fn repeat(&mut self, distance: usize, len: usize) -> Result<(), UnpackError> {
        if distance >= self.filled() {
            return Err(UnpackError::Invalid("it refers to bytes before its start"));
        }
        let distance = distance + 1;
        let end = self.pos + len;
        let slack = self.out.get_mut(..end + STEP);
        match (slack, distance) {
            (Some(out), STEP..) => copy_steps::<STEP>(out, self.pos, end, distance),
            (Some(out), HALF..STEP) => copy_steps::<HALF>(out, self.pos, end, distance),
            (Some(out), 2..HALF) => repeat_pattern(out, self.pos, end, distance),
            _ => repeat_bytes(self.out.get_mut(self.pos - distance..end).ok_or(FULL)?, distance),
        }
        self.pos = end;
        Ok(())
    }
}

/// Copies to `from..end` in whole steps of no more than `distance` bytes. What that writes past `end` is overwritten by
/// what comes next.
#[inline(always)]
fn copy_steps<const N: usize>(out: &mut [u8], from: usize, end: usize, distance: usize) {
    let mut to = from;
    while to < end {
        let Some(source) = out.get(to - distance..).and_then(|rest| rest.first_chunk::<N>()) else { return };
        let source = *source;
        let Some(target) = out.get_mut(to..).and_then(|rest| rest.first_chunk_mut::<N>()) else { return };
        *target = source;
        to += N;
    }
}

/// Repeats less than 8 bytes, as a word of as many repetitions as fit.
fn repeat_pattern(out: &mut [u8], from: usize, end: usize, distance: usize) {
    let Some(start) = out.get(from - distance..).and_then(|rest| rest.first_chunk::<HALF>()) else { return };
    let mut bits = 8 * distance as u32;
    let mut pattern = u64::from_le_bytes(*start) & ((1 << bits) - 1);
    while bits < u64::BITS {
        pattern |= pattern << bits;
        bits *= 2;
    }
    let stride = HALF / distance * distance;
    let mut to = from;
    while to < end {
        let Some(target) = out.get_mut(to..).and_then(|rest| rest.first_chunk_mut::<HALF>()) else { return };
        *target = pattern.to_le_bytes();
        to += stride;
    }
}

/// Runs of one byte, and the end of the output: fills `run` with repetitions of its first `distance` bytes.
#[inline(never)]
fn repeat_bytes(run: &mut [u8], distance: usize) {
    if distance == 1 {
        run.fill(run[0]);
        return;
    }
    for i in distance..run.len() {
        run[i] = run[i - distance];
    }
}

const FULL: UnpackError = UnpackError::Invalid("it unpacks to more than the file announces");

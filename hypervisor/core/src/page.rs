//! A pinned page that the guest can write at any moment.
//!
//! Invariant: nobody forms a Rust reference into the page. Words are accessed atomically, byte ranges are copied
//! in or out, once. The holder of a `GuestPage` keeps its frame from being freed.
//!
//! Offsets come from the core, never unchecked from a guest. One that is misaligned or past the page's end is an
//! error of ours: reads give 0, writes do nothing, debug builds stop.

/// A page of guest-visible memory that stays allocated for as long as this handle lives.
pub trait GuestPage: Send + Sync {
    /// Reads the aligned 32-bit word at `offset` (acquire).
    fn load32(&self, offset: usize) -> u32;
    /// Writes the aligned 32-bit word at `offset` (release).
    fn store32(&self, offset: usize, value: u32);
    /// Replaces `current` by `new` in the word at `offset`; `Err` carries what was found instead.
    fn compare_exchange32(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32>;
    /// Sets bits in the word at `offset`; returns what it was before.
    fn fetch_or32(&self, offset: usize, bits: u32) -> u32;
    /// Keeps only `bits` in the word at `offset`; returns what it was before.
    fn fetch_and32(&self, offset: usize, bits: u32) -> u32;
    /// Reads the aligned 64-bit word at `offset` (acquire).
    fn load64(&self, offset: usize) -> u64;
    /// Writes the aligned 64-bit word at `offset` (release).
    fn store64(&self, offset: usize, value: u64);
    /// Copies bytes out of the page. Bytes that the guest changes meanwhile may be old or new, each.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies bytes into the page.
    fn write(&self, offset: usize, from: &[u8]);
}

#[cfg(any(test, fuzzing))]
mod test;
#[cfg(any(test, fuzzing))]
pub use test::TestPage;

//! What the walker needs of the machine: pages for tables, and access to their entries.

use crate::frame::Mfn;

/// Table pages and their entries.
///
/// Entry indices are below [`ENTRIES`](super::ENTRIES). Tables are read by hardware: [`write`](TableMemory::write)
/// is one 8-byte store that no earlier store may overtake (x86 stores already are; a volatile or release store).
pub trait TableMemory {
    /// The entry at `index` of `table`.
    fn read(&self, table: Mfn, index: usize) -> u64;
    /// Replaces the entry at `index` of `table`.
    fn write(&self, table: Mfn, index: usize, value: u64);
    /// A zeroed page for a table, or `None` when the domain's or the machine's memory is used up.
    fn alloc(&self) -> Option<Mfn>;
    /// Takes back a page that no hardware can reach any more.
    fn free(&self, table: Mfn);
}

//! What a change left behind in the hardware's caches.
//!
//! Invariant: the frame and the tables that a change removed come out of a [`Flush`] only through
//! [`P2m::flushed`], which is called after the flush.

use super::format::{Format, Level};
use super::kind::Entry;
use super::memory::TableMemory;
use super::{ENTRIES, P2m};
use crate::frame::{Gfn, Mfn};

/// The tables that one change adds or removes: at most one for each level below the root.
pub(super) type TableSet = [Option<Mfn>; Level::BELOW_TOP];

/// What must be flushed, on every CPU and IOMMU that uses the tree, before the old frame may be reused.
///
/// Collect several, flush once, then hand each to [`P2m::flushed`]. A token that is dropped leaks its tables.
#[must_use = "flush, then pass the token to `P2m::flushed`"]
#[derive(Debug, Default)]
pub struct Flush {
    pub(super) needed: bool,
    pub(super) old: Option<Entry>,
    pub(super) retired: TableSet,
}

impl Flush {
    /// Whether any cached translation may be stale.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.needed
    }
}

impl<F: Format, T: TableMemory> P2m<F, T> {
    /// Ends a change after its flush: frees the tables it emptied and returns the mapping it removed, if any.
    ///
    /// The entry's order is that of the change: when a run was cut out of a larger page, the run alone is returned.
    pub fn flushed(&self, flush: Flush) -> Option<Entry> {
        for table in flush.retired.into_iter().flatten() {
            self.memory.free(table);
        }
        flush.old
    }

    /// Unlinks `table` and those above it, as far as they are empty now that the entry for `gfn` is clear. `level` is
    /// that of `table`.
    #[inline]
    pub(super) fn prune(&mut self, gfn: Gfn, mut table: Mfn, mut level: Level) -> TableSet {
        let mut retired = TableSet::default();
        for place in &mut retired {
            if level >= self.format.top() || !self.is_empty(table, level.index(gfn)) {
                break;
            }
            let above = level.above();
            let parent = self.walk(gfn, above).table;
            self.memory.write(parent, above.index(gfn), 0);
            self.tables -= 1;
            *place = Some(table);
            (table, level) = (parent, above);
        }
        retired
    }

    /// Whether no entry is in use; `index` is known to be free. Looks at the neighbours first, so that giving back a
    /// table page by page, in either direction, costs a few reads per page.
    fn is_empty(&self, table: Mfn, index: usize) -> bool {
        (1..ENTRIES).all(|distance| self.memory.read(table, index ^ distance) == 0)
    }
}

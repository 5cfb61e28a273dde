//! Emptying an address space in steps, when its domain is torn down.
//!
//! The caller guarantees that no CPU or IOMMU uses the tree any more and has flushed what they cached of it, so tables
//! are freed at once and no token is needed. Between steps the p2m lock may be released; lookups stay correct.

use super::format::{Format, Level, Slot};
use super::kind::Entry;
use super::memory::TableMemory;
use super::{ENTRIES, P2m};
use crate::frame::Gfn;

/// Whether work that is done in steps is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// There may be more: call again.
    More,
    /// Nothing is left.
    Done,
}

impl<F: Format, T: TableMemory> P2m<F, T> {
    /// Removes mappings in ascending order and gives each to `on_leaf` with its first guest frame, until the root is the
    /// only table left.
    ///
    /// Looks at `budget` entries (holes count too) and goes on from there with the next call. From the first call on
    /// nothing can be mapped any more, so nothing is missed.
    pub fn drain(&mut self, budget: usize, mut on_leaf: impl FnMut(Gfn, Entry)) -> Progress {
        for _ in 0..budget {
            let gfn = *self.drained.get_or_insert(Gfn(0));
            if !self.in_range(gfn, 0) {
                return Progress::Done;
            }
            let spot = self.walk(gfn, Level::PAGE);
            let order = spot.level.order();
            if let Slot::Leaf(leaf) = spot.slot {
                self.memory.write(spot.table, spot.level.index(gfn), 0);
                on_leaf(Gfn(gfn.0 >> order << order), leaf.entry(order));
            }
            if spot.level.index(gfn) == ENTRIES - 1 {
                for table in self.prune(gfn, spot.table, spot.level).into_iter().flatten() {
                    self.memory.free(table);
                }
            }
            self.drained = Some(Gfn(((gfn.0 >> order) + 1) << order));
        }
        Progress::More
    }
}

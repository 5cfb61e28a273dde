//! Changes of one mapping: map, unmap.
//!
//! Each goes in three steps: find the entry, allocate every table that a split or a new branch needs, then write.
//! Only the second step can fail.

use super::error::P2mError;
use super::flush::{Flush, TableSet};
use super::format::{Format, Leaf, Level, Slot};
use super::kind::{Access, Entry, PageType};
use super::memory::TableMemory;
use super::{ENTRIES, P2m, Spot};
use crate::frame::{Gfn, Mfn, PAGE_SHIFT, PHYS_BITS_MAX};

impl<F: Format, T: TableMemory> P2m<F, T> {
    /// Maps `1 << order` guest frames (order 0, 9 or 18) to as many machine frames. What the run mapped to before, if
    /// anything, is replaced and comes back with the token; if it was part of a larger page, that page is split.
    ///
    /// `access` is limited to what `kind` allows.
    ///
    /// # Errors
    /// [`P2mError::Finer`] if the run holds smaller mappings, [`P2mError::NoTable`] if a table is missing,
    /// [`P2mError::Closed`] if it is being drained, others if the arguments don't fit. Nothing is changed then.
    pub fn map(
        &mut self,
        gfn: Gfn,
        mfn: Mfn,
        order: u32,
        kind: PageType,
        access: Access,
    ) -> Result<Flush, P2mError> {
        if self.drained.is_some() {
            return Err(P2mError::Closed);
        }
        let target = self.target(gfn, order)?;
        if !mfn.is_aligned(order) {
            return Err(P2mError::Misaligned { gfn, order });
        }
        let last = mfn.checked_add((1 << order) - 1).ok_or(P2mError::NoSuchFrame { mfn })?;
        if last.0 >> (PHYS_BITS_MAX - PAGE_SHIFT) != 0 {
            return Err(P2mError::NoSuchFrame { mfn });
        }
        self.replace(gfn, target, Some(Leaf { mfn, kind, access: kind.limit(access) }))
    }

    /// Unmaps `1 << order` guest frames. What they mapped to comes back with the token; a hole is left as it is.
    ///
    /// # Errors
    /// As for [`map`](Self::map): unmapping part of a large page needs a table too.
    pub fn unmap(&mut self, gfn: Gfn, order: u32) -> Result<Flush, P2mError> {
        let target = self.target(gfn, order)?;
        self.replace(gfn, target, None)
    }

    /// The level of the entries that map runs of `1 << order` frames, if `gfn` can start one.
    fn target(&self, gfn: Gfn, order: u32) -> Result<Level, P2mError> {
        let level = Level::of_order(order)
            .filter(|level| *level <= self.format.max_leaf())
            .ok_or(P2mError::BadOrder { order })?;
        if !gfn.is_aligned(order) {
            return Err(P2mError::Misaligned { gfn, order });
        }
        if !self.in_range(gfn, order) {
            return Err(P2mError::OutOfRange { gfn, order });
        }
        Ok(level)
    }

    /// Puts `new` in place of the entry for `gfn` at `target`.
    fn replace(&mut self, gfn: Gfn, target: Level, new: Option<Leaf>) -> Result<Flush, P2mError> {
        let order = target.order();
        let spot = self.walk(gfn, target);
        if let Slot::Table(_) = spot.slot {
            return Err(P2mError::Finer { gfn, order });
        }
        let old = spot.leaf_of(gfn);
        let removed = old.map(|leaf| leaf.entry(order));
        if new == old {
            // Also the answer for a page already mapped so: the caller gets its frame back as replaced.
            return Ok(Flush { old: removed, ..Flush::default() });
        }
        let table = if spot.level == target { spot.table } else { self.open(spot, target, gfn)? };
        Ok(self.set(gfn, table, target, new, removed))
    }

    /// Writes the entry for `gfn` in `table`, which is of `level`; `old` is what the run mapped to.
    fn set(&mut self, gfn: Gfn, table: Mfn, level: Level, new: Option<Leaf>, old: Option<Entry>) -> Flush {
        self.memory.write(table, level.index(gfn), new.map_or(0, |leaf| self.format.leaf(leaf, level)));
        let retired = if new.is_none() { self.prune(gfn, table, level) } else { TableSet::default() };
        Flush { needed: old.is_some() || self.format.caches_holes(), old, retired }
    }

    /// Splits the larger page that a guest frame is part of, if it is: what is mapped stays so.
    ///
    /// # Errors
    /// A table is missing.
    pub fn split(&mut self, gfn: Gfn) -> Result<(), P2mError> {
        self.target(gfn, 0)?;
        let spot = self.walk(gfn, Level::PAGE);
        match spot.slot {
            Slot::Leaf(_) => self.open(spot, Level::PAGE, gfn).map(|_| ()),
            Slot::Hole | Slot::Table(_) => Ok(()),
        }
    }

    /// Unmaps a guest frame that is mapped by itself, as it is after a [`split`](Self::split): that needs no table. Part
    /// of a larger page is left alone.
    pub fn clear(&mut self, gfn: Gfn) -> Flush {
        let spot = self.walk(gfn, Level::PAGE);
        match spot.leaf_of(gfn).filter(|_| spot.level == Level::PAGE && self.in_range(gfn, 0)) {
            Some(leaf) => self.set(gfn, spot.table, Level::PAGE, None, Some(leaf.entry(0))),
            None => Flush::default(),
        }
    }

    /// Makes the tables between a hole or leaf and `target`; a leaf is split into leaves that map the same. Returns
    /// the table that holds the entry at `target`.
    fn open(&mut self, spot: Spot, target: Level, gfn: Gfn) -> Result<Mfn, P2mError> {
        let reserve = self.reserve(spot.level.tables_down_to(target))?;
        let Spot { mut table, mut level, mut slot } = spot;
        for new in reserve.into_iter().flatten() {
            let Some(below) = level.below() else { break };
            let part = match slot {
                Slot::Leaf(leaf) => Some(self.fill(new, leaf, below, gfn)),
                Slot::Hole | Slot::Table(_) => None,
            };
            self.memory.write(table, level.index(gfn), self.format.table(new, level));
            self.tables += 1;
            table = new;
            level = below;
            slot = part.map_or(Slot::Hole, Slot::Leaf);
        }
        Ok(table)
    }

    /// Fills a table of `level` with the parts of a larger leaf; returns the part that maps `gfn`.
    fn fill(&self, table: Mfn, leaf: Leaf, level: Level, gfn: Gfn) -> Leaf {
        let part = |index: usize| Leaf { mfn: Mfn(leaf.mfn.0 + ((index as u64) << level.order())), ..leaf };
        for index in 0..ENTRIES {
            self.memory.write(table, index, self.format.leaf(part(index), level));
        }
        part(level.index(gfn))
    }

    /// Allocates `count` tables, or none.
    fn reserve(&self, count: usize) -> Result<TableSet, P2mError> {
        let mut reserve = TableSet::default();
        if count > self.max_tables.saturating_sub(self.tables) && count != 0 {
            return Err(P2mError::TableLimit { max: self.max_tables });
        }
        for place in reserve.iter_mut().take(count) {
            *place = self.memory.alloc();
            if place.is_none() {
                reserve.into_iter().flatten().for_each(|table| self.memory.free(table));
                return Err(P2mError::NoTable);
            }
        }
        Ok(reserve)
    }
}

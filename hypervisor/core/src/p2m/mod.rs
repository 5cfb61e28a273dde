//! Guest frame to machine frame: one page-table walker for every format of nested page tables.
//!
//! A [`P2m`] owns a tree of table pages in the hardware's own layout (its [`Format`]), so what the walker writes is
//! what the hardware walks. The walker never allocates anything but table pages, through [`TableMemory`]. The
//! formats are the CPUs', AMD's ([`Npt`]) and Intel's ([`Ept`]), and those of their IOMMUs ([`Dma`]).
//!
//! # Locking protocol
//! - The caller holds the domain's p2m lock: shared for `&self` methods, exclusive for `&mut self` ones. The walker
//!   itself takes no lock.
//! - The hardware walks the tree at any moment, on any CPU, without that lock. So a table is filled before the entry
//!   that links it is written, every entry changes by one store, and each intermediate state maps every guest frame
//!   to its old or its new frame. A frame that is being replaced may fault for a moment: whoever handles the fault
//!   takes the lock, finds the mapping and resumes the guest.
//! - The hardware sets Accessed and Dirty bits concurrently, where a format has them. Every entry is written with them
//!   already set, so the hardware finds nothing to update, and a store of ours can lose nothing.
//! - Caches of the tree (TLBs, paging-structure caches) are not coherent with it. A change that removes something
//!   returns a [`Flush`]: the old frame and the tables that became empty are out of reach until the caller has
//!   flushed and passes the token to [`P2m::flushed`].
//!
//! # Invariants
//! - Every change concerns one leaf at most, so it is a bounded amount of work and accounts for one frame owner.
//! - A change either happens or leaves the tree as it was: all tables it needs are allocated before it starts.
//! - Below the root no table is empty.
//! - Once it is being drained, nothing is mapped any more.

mod change;
mod dma;
mod drain;
mod ept;
mod error;
mod flush;
mod format;
mod kind;
mod memory;
mod npt;
#[cfg(test)]
mod tests;

pub use dma::Dma;
pub use drain::Progress;
pub use ept::Ept;
pub use error::P2mError;
pub use flush::Flush;
pub use format::{Format, Leaf, Level, Slot};
pub use kind::{Access, Entry, PageType};
pub use memory::TableMemory;
pub use npt::Npt;

use crate::frame::{Gfn, Mfn};

/// Entries in a table page, of every format.
pub const ENTRIES: usize = 512;

/// A domain's guest-physical address space.
#[derive(Debug)]
pub struct P2m<F: Format, T: TableMemory> {
    format: F,
    memory: T,
    root: Mfn,
    /// Table pages linked in the tree, the root included.
    tables: usize,
    /// The most of them. Lowering it takes none away.
    pub max_tables: usize,
    /// Up to where it has been emptied, once its domain is torn down.
    drained: Option<Gfn>,
}

/// What a run of guest frames holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A naturally aligned run of `1 << order` frames around the frame asked for maps to nothing.
    Hole {
        /// log2 of the number of frames.
        order: u32,
    },
    /// A leaf; its machine frame is that of the guest frame asked for.
    Leaf(Entry),
}

/// Where a walk ended: the entry, in its table.
#[derive(Clone, Copy)]
struct Spot {
    table: Mfn,
    level: Level,
    slot: Slot,
}

impl Spot {
    /// The leaf, if it is one, with the machine frame moved on to that of `gfn`.
    #[inline]
    fn leaf_of(&self, gfn: Gfn) -> Option<Leaf> {
        let offset = gfn.0 & ((1 << self.level.order()) - 1);
        match self.slot {
            Slot::Leaf(leaf) => Some(Leaf { mfn: Mfn(leaf.mfn.0 + offset), ..leaf }),
            Slot::Hole | Slot::Table(_) => None,
        }
    }
}

impl<F: Format, T: TableMemory> P2m<F, T> {
    /// An empty address space.
    ///
    /// # Errors
    /// [`P2mError::NoTable`] if there is no page for the root.
    pub fn new(format: F, memory: T) -> Result<Self, P2mError> {
        let root = memory.alloc().ok_or(P2mError::NoTable)?;
        Ok(Self { format, memory, root, tables: 1, max_tables: usize::MAX, drained: None })
    }

    /// The root table, for the hardware's root register.
    pub fn root(&self) -> Mfn {
        self.root
    }

    /// Table pages in the tree, the root included, for the domain's quota. Tables that a [`Flush`] still holds are
    /// not counted.
    pub fn tables(&self) -> usize {
        self.tables
    }

    /// What `gfn` maps to: the machine frame of `gfn` itself, with the order of the leaf that maps it.
    #[inline]
    pub fn lookup(&self, gfn: Gfn) -> Option<Entry> {
        match self.extent(gfn) {
            Extent::Leaf(entry) => Some(entry),
            Extent::Hole { .. } => None,
        }
    }

    /// What `gfn` maps to, or how large a hole it lies in, so that a scan of the address space can skip.
    #[inline]
    pub fn extent(&self, gfn: Gfn) -> Extent {
        if !self.in_range(gfn, 0) {
            return Extent::Hole { order: 0 };
        }
        let spot = self.walk(gfn, Level::PAGE);
        let order = spot.level.order();
        // A walk down to the lowest level never ends on a table.
        spot.leaf_of(gfn).map_or(Extent::Hole { order }, |leaf| Extent::Leaf(leaf.entry(order)))
    }

    /// Walks towards `target`, until the entry there or a hole or leaf above it.
    #[inline]
    fn walk(&self, gfn: Gfn, target: Level) -> Spot {
        let mut table = self.root;
        let mut level = self.format.top();
        loop {
            let slot = self.format.decode(self.memory.read(table, level.index(gfn)), level);
            match (slot, level.below()) {
                (Slot::Table(next), Some(below)) if level > target => {
                    table = next;
                    level = below;
                }
                _ => return Spot { table, level, slot },
            }
        }
    }

    /// Whether the run of `1 << order` frames lies in the guest-physical address space, which the levels cover.
    #[inline]
    fn in_range(&self, gfn: Gfn, order: u32) -> bool {
        gfn.0.checked_add((1 << order) - 1).is_some_and(|last| last >> (self.format.top().order() + 9) == 0)
    }
}

impl<F: Format, T: TableMemory> Drop for P2m<F, T> {
    /// Frees the root. Whoever owns the address space has drained it first: dropping must not take unbounded time.
    fn drop(&mut self) {
        self.memory.free(self.root);
    }
}

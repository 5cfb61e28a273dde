//! Grants: single rules, a model under random operations, hostile guests, a full heap.

mod arguments;
mod model;
mod rules;

use std::sync::Arc;
use std::vec::Vec;

use super::{Access, GrantRef, GrantTable, Purpose, Wanted};
use crate::frame::Gfn;
use crate::ids::DomId;
use crate::page::{GuestPage, TestPage};

impl<P: GuestPage, F: Clone> GrantTable<P, F> {
    /// References in use.
    pub(crate) fn in_use(&self) -> u32 {
        self.active.taken()
    }
}

/// A page of a test domain; its reference count says who still holds it.
type Frame = Arc<u64>;
type Table = GrantTable<TestPage, Frame>;

const PERMIT: u16 = 1;
const READONLY: u16 = 4;
const READING: u16 = 8;
const WRITING: u16 = 16;

/// Guest frames 0 to 15 are RAM.
#[derive(Debug)]
struct Ram(Vec<Frame>);

impl Ram {
    fn new() -> Self {
        Self((0..16).map(Arc::new).collect())
    }

    fn resolve(&self) -> impl FnOnce(Gfn) -> Option<Frame> + '_ {
        |gfn| self.0.get(usize::try_from(gfn.0).ok()?).cloned()
    }

    /// References to RAM that others than the domain itself hold.
    fn lent(&self) -> usize {
        self.0.iter().map(|f| Arc::strong_count(f) - 1).sum()
    }
}

fn table(dom: u16, frames: u32) -> Table {
    let mut table = Table::new(DomId(dom), 4);
    for _ in 0..frames {
        table.grow(TestPage::default()).unwrap();
    }
    table
}

/// The guest writes an entry.
fn grant(table: &Table, gref: u32, flags: u16, to: u16, frame: u32) {
    let word = u64::from(frame) << 32 | u64::from(to) << 16 | u64::from(flags);
    table.frame(gref / 512).unwrap().store64(gref as usize % 512 * 8, word);
}

fn flags(table: &Table, gref: u32) -> u16 {
    table.frame(gref / 512).unwrap().load32(gref as usize % 512 * 8) as u16
}

fn want(by: u16, access: Access) -> Wanted {
    Wanted { by: DomId(by), access, purpose: Purpose::Map }
}

const REF: GrantRef = GrantRef(9);

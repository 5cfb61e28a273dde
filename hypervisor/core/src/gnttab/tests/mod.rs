//! Grants: single rules, a model under random operations, hostile guests, a full heap.

mod arguments;
mod model;
mod rules;
mod version2;

use std::sync::Arc;
use std::vec::Vec;

use super::{Access, Content, GrantError, GrantRef, GrantTable, Purpose, Version, Wanted};
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
    let mut table = Table::new(DomId(dom), 4, Version::Two);
    grow(&mut table, frames).unwrap();
    table
}

fn page() -> Result<TestPage, GrantError> {
    Ok(TestPage::default())
}

fn grow(table: &mut Table, frames: u32) -> Result<(), GrantError> {
    table.grow(Content::Entries, frames, page)
}

/// A table of version 2.
fn table2(dom: u16, frames: u32) -> Table {
    let mut table = table(dom, frames);
    table.set_version(2, page).unwrap();
    table
}

/// A 64-bit word of an entry.
fn set_word(table: &Table, gref: u32, word: usize, value: u64) {
    let (size, per_frame) = (table.version().entry_size(), table.version().entries_per_frame());
    let page = table.frame(Content::Entries, gref / per_frame).unwrap();
    page.store64((gref % per_frame) as usize * size + word * 8, value);
}

/// An entry's first word.
fn head(table: &Table, gref: u32) -> u32 {
    let (size, per_frame) = (table.version().entry_size(), table.version().entries_per_frame());
    let page = table.frame(Content::Entries, gref / per_frame);
    page.map_or(0, |page| page.load32((gref % per_frame) as usize * size))
}

/// The guest writes an entry.
fn grant(table: &Table, gref: u32, flags: u16, to: u16, frame: u32) {
    let (head, frame) = (u64::from(to) << 16 | u64::from(flags), u64::from(frame));
    match table.version() {
        Version::One => set_word(table, gref, 0, frame << 32 | head),
        Version::Two => {
            set_word(table, gref, 1, frame);
            set_word(table, gref, 0, head);
        }
    }
}

/// An entry's flags, with those that version 2 has elsewhere.
fn flags(table: &Table, gref: u32) -> u16 {
    let status = table.frame(Content::Status, gref / 2048).filter(|_| table.version() == Version::Two);
    let at = gref as usize % 2048 * 2;
    head(table, gref) as u16 | status.map_or(0, |page| (page.load32(at & !3) >> (at % 4 * 8)) as u16)
}

fn want(by: u16, access: Access) -> Wanted {
    Wanted { by: DomId(by), access, purpose: Purpose::Map }
}

const REF: GrantRef = GrantRef(9);

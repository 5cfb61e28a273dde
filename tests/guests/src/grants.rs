//! The grant table: its first page, in exchange for a page of RAM.

use hypercall_abi::grant_table::{EntryFlags, EntryV1};
use hypercall_abi::memory::{ADD_TO_PHYSMAP, AddToPhysmap, MAPSPACE_GRANT_TABLE};
use hypercall_abi::xen::DOMID_SELF;
use spin::Mutex;

use crate::call;
use crate::paging::Page;

static PAGE: Mutex<Option<Page>> = Mutex::new(None);

/// The table's first page, mapped at the first call.
///
/// # Panics
/// If it cannot be mapped, which fails the test.
pub fn page() -> Page {
    let mut slot = PAGE.lock();
    *slot.get_or_insert_with(|| {
        let page = Page::new();
        let mut add: AddToPhysmap = AddToPhysmap {
            domid: DOMID_SELF,
            size: 0,
            space: MAPSPACE_GRANT_TABLE,
            idx: 0,
            gpfn: page.gfn(),
        };
        let answer = call::memory(ADD_TO_PHYSMAP, &mut add);
        assert!(answer.is_ok(), "grant table: {answer:?}");
        page
    })
}

/// Grants a frame to a domain.
pub fn grant(gref: u32, domid: u16, frame: u64, readonly: bool) {
    let flags =
        if readonly { EntryFlags::PERMIT_ACCESS | EntryFlags::READONLY } else { EntryFlags::PERMIT_ACCESS };
    let entry = EntryV1 { flags: EntryFlags::empty(), domid, frame: frame as u32 };
    page().set(u64::from(gref) * 8, entry);
    page().set(u64::from(gref) * 8, EntryV1 { flags, ..entry });
}

/// An entry as it is now.
#[must_use]
pub fn entry(gref: u32) -> EntryV1 {
    page().get(u64::from(gref) * 8)
}

/// Ends a grant that nobody uses.
pub fn end(gref: u32) {
    page().set(u64::from(gref) * 8, EntryV1 { flags: EntryFlags::empty(), domid: 0, frame: 0 });
}

//! What version 2 adds: parts of pages, grants that are passed on, status words, and the way there and back.

use hypercall_abi::grant_table::EntryFlags;

use super::{
    PERMIT, READING, READONLY, REF, Ram, Table, WRITING, flags, grant, grow, head, page, set_word, table,
    table2, want,
};
use crate::frame::Gfn;
use crate::gnttab::{Access, Content, GrantError, GrantRef, GrantTable, Purpose, Version, Via, Wanted};
use crate::ids::DomId;
use crate::page::{GuestPage, TestPage};

const SUB_PAGE: u16 = EntryFlags::SUB_PAGE.bits();
const TRANSITIVE: u16 = 3;

fn copy(by: u16, access: Access) -> Wanted {
    Wanted { purpose: Purpose::Copy, ..want(by, access) }
}

/// The guest passes on a grant that it has from another domain.
fn pass_on(table: &Table, gref: u32, to: u16, via: Via) {
    set_word(table, gref, 1, via.gref.0.into());
    set_word(table, gref, 0, u64::from(via.dom.0) << 32 | u64::from(to) << 16 | u64::from(TRANSITIVE));
}

#[test]
fn uses_are_shown_in_status_words() {
    let (mut t, ram) = (table2(1, 2), Ram::new());
    // Neighbours in one 32-bit word, and one behind the first page of entries.
    for gref in [9, 300] {
        (gref..gref + 2).for_each(|gref| grant(&t, gref, PERMIT, 2, 5));
        let read = t.acquire(GrantRef(gref), want(2, Access::Read), ram.resolve()).unwrap();
        let write = t.acquire(GrantRef(gref + 1), want(2, Access::Write), ram.resolve()).unwrap();
        assert_eq!((head(&t, gref) as u16, head(&t, gref + 1) as u16), (PERMIT, PERMIT));
        assert_eq!((flags(&t, gref), flags(&t, gref + 1)), (PERMIT | READING, PERMIT | READING | WRITING));
        t.release(read);
        assert_eq!((flags(&t, gref), flags(&t, gref + 1)), (PERMIT, PERMIT | READING | WRITING));
        // A refusal takes nothing of what others have set.
        grant(&t, gref + 1, PERMIT | READONLY, 2, 5);
        assert!(t.acquire(GrantRef(gref + 1), want(2, Access::Write), ram.resolve()).is_err());
        assert_eq!(flags(&t, gref + 1), PERMIT | READONLY | READING | WRITING);
        t.release(write);
        assert_eq!(flags(&t, gref + 1), PERMIT | READONLY);
    }
    let end = GrantError::BadRef { gref: GrantRef(512), end: 512 };
    assert_eq!(t.acquire(GrantRef(512), want(2, Access::Read), ram.resolve()).unwrap_err(), end);
    // The frame has 64 bits.
    set_word(&t, 9, 1, 1 << 40);
    let refused = t.acquire(REF, want(2, Access::Read), ram.resolve()).unwrap_err();
    assert_eq!((refused, flags(&t, 9)), (GrantError::BadFrame(Gfn(1 << 40)), PERMIT));
}

#[test]
fn a_part_of_a_page_is_all_that_is_granted() {
    let (mut t, ram) = (table2(1, 1), Ram::new());
    let mut part = |start: u64, len: u64, flags: u16| {
        set_word(&t, 9, 1, 5);
        set_word(&t, 9, 0, len << 48 | start << 32 | 2 << 16 | u64::from(PERMIT | flags));
        let pin = t.acquire(REF, copy(2, Access::Write), ram.resolve()).unwrap();
        let part = pin.part();
        t.release(pin);
        part
    };
    let some = part(100, 50, SUB_PAGE);
    assert!(some.has(100, 50) && some.has(149, 1) && some.has(150, 0));
    assert!(!some.has(99, 1) && !some.has(100, 51) && !some.has(150, 1) && !some.has(u16::MAX, u16::MAX));
    let past = part(4000, 0xffff, SUB_PAGE);
    assert!(past.has(4000, 96) && !past.has(4000, 97));
    assert!(!part(0xffff, 0xffff, SUB_PAGE).has(0, 1));
    assert!(part(100, 50, 0).has(0, 4096), "a whole page");
    set_word(&t, 9, 0, 2 << 16 | u64::from(PERMIT | SUB_PAGE));
    let refused = t.acquire(REF, want(2, Access::Read), ram.resolve()).unwrap_err();
    assert_eq!(refused, GrantError::NotMappable { gref: REF, flags: PERMIT | SUB_PAGE });
}

#[test]
fn a_grant_is_passed_on_for_copies_and_once() {
    let (mut t, ram) = (table2(1, 1), Ram::new());
    let via = Via { dom: DomId(4), gref: GrantRef(77) };
    let (gref, passes) = (REF, GrantError::Transitive { gref: REF, via });
    pass_on(&t, 9, 2, via);
    let other = Via { gref: GrantRef(78), ..via };
    let through = |via| Wanted { purpose: Purpose::CopyVia(via), ..want(2, Access::Write) };
    let cases = [
        (want(2, Access::Read), passes),
        (copy(2, Access::Write), passes),
        (through(other), passes),
        (copy(3, Access::Read), GrantError::NotYours { gref, to: DomId(2) }),
    ];
    for (wanted, error) in cases {
        assert_eq!(t.acquire(REF, wanted, |_| unreachable!()).unwrap_err(), error);
        assert_eq!((flags(&t, 9), t.in_use()), (TRANSITIVE, 0));
    }
    let first = t.acquire(REF, through(via), |_| Some(ram.0[7].clone())).unwrap();
    let second = t.acquire(REF, through(via), |_| unreachable!()).unwrap();
    assert_eq!((**second.frame(), flags(&t, 9)), (7, TRANSITIVE | READING | WRITING));
    // In use, it is that grant's page only: not another's, and not the domain's own.
    pass_on(&t, 9, 2, other);
    assert_eq!(t.acquire(REF, through(other), |_| unreachable!()).unwrap_err(), GrantError::InUse(REF));
    grant(&t, 9, PERMIT, 2, 5);
    assert_eq!(t.acquire(REF, copy(2, Access::Write), |_| unreachable!()).unwrap_err(), passes);
    assert_eq!(t.acquire(REF, through(via), |_| unreachable!()).unwrap_err(), GrantError::Unstable(REF));
    t.release(first);
    t.release(second);
    assert_eq!((flags(&t, 9), ram.lent()), (PERMIT, 0));
    // Version 1 has no such thing.
    let t1 = table(1, 1);
    grant(&t1, 9, TRANSITIVE, 2, 77);
    let mut t1 = t1;
    let refused = t1.acquire(REF, copy(2, Access::Read), |_| unreachable!()).unwrap_err();
    assert_eq!(refused, GrantError::NoAccess { gref, flags: TRANSITIVE });
}

#[test]
fn the_version_changes_when_no_guest_grant_is_in_use() {
    let (mut t, ram) = (table(1, 2), Ram::new());
    assert_eq!(t.limit(Content::Status), Err(GrantError::NoStatus));
    assert_eq!(
        (t.set_version(0, page), t.set_version(3, page)),
        (Err(GrantError::BadVersion(0)), Err(GrantError::BadVersion(3)))
    );
    grant(&t, 9, PERMIT, 2, 5);
    let pin = t.acquire(REF, want(2, Access::Read), ram.resolve()).unwrap();
    assert_eq!(t.set_version(1, page), Ok(()), "it has that");
    assert_eq!(t.set_version(2, page), Err(GrantError::EntriesInUse { count: 1 }));
    t.release(pin);
    // The tools use the console's and xenstore's grants all the time.
    grant(&t, 1, PERMIT, 2, 6);
    grant(&t, 2, TRANSITIVE, 2, 6);
    let console = t.acquire(GrantRef(1), want(2, Access::Write), ram.resolve()).unwrap();
    let entries = |t: &Table| [1, 2, 9].map(|gref| flags(t, gref));
    for version in [Version::Two, Version::One] {
        assert_eq!(t.set_version(version as u32, page), Ok(()));
        assert_eq!((t.version(), entries(&t)), (version, [PERMIT | READING | WRITING, 0, 0]));
        let again = t.acquire(GrantRef(1), want(2, Access::Read), |_| unreachable!()).unwrap();
        t.release(again);
    }
    t.release(console);
    assert_eq!((flags(&t, 1), ram.lent()), (PERMIT, 0));
    assert_eq!(head(&t, 1) >> 16, 2);
    // A frame that version 1 has no room for.
    t.set_version(2, page).unwrap();
    set_word(&t, 1, 1, 1 << 33);
    t.set_version(1, page).unwrap();
    assert_eq!(flags(&t, 1), 0);
}

#[test]
fn status_words_grow_with_the_entries() {
    let mut t = GrantTable::<TestPage, super::Frame>::new(DomId(1), 20, Version::Two);
    t.grow(Content::Entries, 8, page).unwrap();
    t.set_version(2, page).unwrap();
    let there = |t: &Table, index| t.frame(Content::Status, index).is_some();
    assert_eq!((t.limit(Content::Status), there(&t, 0), there(&t, 1)), (Ok(3), true, false));
    t.grow(Content::Entries, 9, page).unwrap();
    assert!(there(&t, 1) && !there(&t, 2));
    t.grow(Content::Status, 3, page).unwrap();
    assert_eq!((t.size().frames, there(&t, 2)), (17, true));
    assert_eq!(t.grow(Content::Status, 4, page), Err(GrantError::TableFull { max_frames: 20 }));
    assert_eq!(t.set_gfn(Content::Status, 2, Some(Gfn(7))), None);
    assert_eq!((t.gfn(Content::Status, 2), t.gfn(Content::Entries, 2)), (Some(Gfn(7)), None));

    let mut old = GrantTable::<TestPage, super::Frame>::new(DomId(1), 20, Version::One);
    assert_eq!(old.set_version(2, page), Err(GrantError::NoVersion2));
    let mut large = GrantTable::<TestPage, super::Frame>::new(DomId(1), 513, Version::Two);
    large.grow(Content::Entries, 513, page).unwrap();
    assert_eq!(large.set_version(2, page), Err(GrantError::TooLarge { frames: 513, max: 512 }));
}

#[test]
fn whole_entries_are_swapped() {
    let t = table2(1, 1);
    let mut t = t;
    pass_on(&t, 9, 2, Via { dom: DomId(4), gref: GrantRef(77) });
    t.swap(REF, GrantRef(10)).unwrap();
    assert_eq!((head(&t, 9), head(&t, 10) as u16), (0, TRANSITIVE));
    let page = t.frame(Content::Entries, 0).unwrap();
    assert_eq!((page.load32(9 * 16 + 8), page.load32(10 * 16 + 8)), (0, 77));
    assert!(grow(&mut t, 4).is_ok());
}

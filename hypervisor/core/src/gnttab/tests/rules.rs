use std::sync::Arc;
use std::vec::Vec;

use super::{Frame, PERMIT, READING, READONLY, REF, Ram, Table, WRITING, flags, grant, grow, table, want};
use crate::fallible::fail_after;
use crate::frame::Gfn;
use crate::gnttab::{
    Access, Content, GrantError, GrantRef, Handle, MapTrack, Mapping, Purpose, Size, Version, Wanted,
};
use crate::ids::DomId;
use crate::page::{GuestPage, TestPage};

#[test]
fn the_entry_shows_its_use_until_the_last_one_ends() {
    let (mut t, ram) = (table(1, 1), Ram::new());
    grant(&t, 9, PERMIT, 2, 5);
    let read = t.acquire(REF, want(2, Access::Read), ram.resolve()).unwrap();
    assert_eq!(flags(&t, 9), PERMIT | READING);
    let write = t.acquire(REF, want(2, Access::Write), |_| unreachable!()).unwrap();
    assert_eq!(flags(&t, 9), PERMIT | READING | WRITING);
    assert_eq!(**write.frame(), 5);
    t.release(write);
    assert_eq!(flags(&t, 9), PERMIT | READING);
    t.release(read);
    assert_eq!((flags(&t, 9), t.in_use(), ram.lent()), (PERMIT, 0, 0));
}

#[test]
fn an_entry_gives_what_it_says_and_no_more() {
    let (mut t, ram) = (table(1, 1), Ram::new());
    let gref = REF;
    let cases = [
        ((0, 2, 5), Access::Read, GrantError::NoAccess { gref, flags: 0 }),
        ((2, 2, 5), Access::Read, GrantError::NoAccess { gref, flags: 2 }),
        ((3, 2, 5), Access::Read, GrantError::NoAccess { gref, flags: 3 }),
        ((PERMIT, 3, 5), Access::Read, GrantError::NotYours { gref, to: DomId(3) }),
        ((PERMIT | READONLY, 2, 5), Access::Write, GrantError::ReadOnly(gref)),
        ((PERMIT | 0x100, 2, 5), Access::Read, GrantError::NotMappable { gref, flags: 0x101 }),
        ((PERMIT | 0x40, 2, 5), Access::Read, GrantError::NotMappable { gref, flags: 0x41 }),
        ((PERMIT, 2, 16), Access::Read, GrantError::BadFrame(Gfn(16))),
        ((PERMIT, 2, u32::MAX), Access::Read, GrantError::BadFrame(Gfn(0xffff_ffff))),
    ];
    for ((bits, to, frame), access, error) in cases {
        grant(&t, 9, bits, to, frame);
        assert_eq!(t.acquire(REF, want(2, access), ram.resolve()).unwrap_err(), error);
        assert_eq!((flags(&t, 9), t.in_use()), (bits, 0), "{error} leaves no trace");
    }
    let end = GrantError::BadRef { gref: GrantRef(512), end: 512 };
    assert_eq!(t.acquire(GrantRef(512), want(2, Access::Read), ram.resolve()).unwrap_err(), end);
    assert!(t.acquire(GrantRef(u32::MAX), want(2, Access::Read), ram.resolve()).is_err());
    grant(&t, 9, PERMIT | 0x40, 2, 5);
    let copy = Wanted { purpose: Purpose::Copy, ..want(2, Access::Read) };
    let pin = t.acquire(REF, copy, ram.resolve()).unwrap();
    t.release(pin);
}

#[test]
fn an_entry_in_use_stays_with_its_user_and_its_page() {
    let (mut t, ram) = (table(1, 1), Ram::new());
    grant(&t, 9, PERMIT, 2, 5);
    let first = t.acquire(REF, want(2, Access::Read), ram.resolve()).unwrap();
    // The guest breaks the rules: another user, another page.
    grant(&t, 9, PERMIT, 3, 6);
    let refused = t.acquire(REF, want(3, Access::Read), ram.resolve()).unwrap_err();
    assert_eq!(refused, GrantError::NotYours { gref: REF, to: DomId(2) });
    grant(&t, 9, PERMIT, 2, 6);
    let second = t.acquire(REF, want(2, Access::Write), ram.resolve()).unwrap();
    assert_eq!(**second.frame(), 5);
    assert_eq!(t.swap(REF, GrantRef(1)), Err(GrantError::InUse(REF)));
    t.release(first);
    t.release(second);
    grant(&t, 1, PERMIT, 4, 7);
    t.swap(REF, GrantRef(1)).unwrap();
    t.swap(REF, REF).unwrap();
    let moved = t.acquire(REF, want(4, Access::Read), ram.resolve()).unwrap();
    assert_eq!(**moved.frame(), 7);
    t.release(moved);
    assert_eq!(t.swap(REF, GrantRef(512)), Err(GrantError::BadRef { gref: GrantRef(512), end: 512 }));
}

#[test]
fn a_guest_that_keeps_changing_its_entry_is_given_up_on() {
    /// Toggles an unused bit before every compare-exchange.
    struct Restless(TestPage);
    impl GuestPage for Restless {
        fn load32(&self, offset: usize) -> u32 {
            self.0.load32(offset)
        }
        fn store32(&self, offset: usize, value: u32) {
            self.0.store32(offset, value);
        }
        fn compare_exchange32(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32> {
            self.0.store32(offset, self.0.load32(offset) ^ 0x8000);
            self.0.compare_exchange32(offset, current, new)
        }
        fn fetch_or32(&self, offset: usize, bits: u32) -> u32 {
            self.0.fetch_or32(offset, bits)
        }
        fn fetch_and32(&self, offset: usize, bits: u32) -> u32 {
            self.0.fetch_and32(offset, bits)
        }
        fn load64(&self, offset: usize) -> u64 {
            self.0.load64(offset)
        }
        fn store64(&self, offset: usize, value: u64) {
            self.0.store64(offset, value);
        }
        fn read(&self, offset: usize, into: &mut [u8]) {
            self.0.read(offset, into);
        }
        fn write(&self, offset: usize, from: &[u8]) {
            self.0.write(offset, from);
        }
    }
    let page = TestPage::default();
    page.store32(72, 2 << 16 | u32::from(PERMIT));
    let mut t = crate::gnttab::GrantTable::<_, Frame>::new(DomId(1), 1, Version::One);
    let mut pages = [Some(Restless(page))].into_iter().map(Option::unwrap);
    t.grow(Content::Entries, 1, || Ok(pages.next().unwrap())).unwrap();
    let refused = t.acquire(REF, want(2, Access::Read), |_| unreachable!()).unwrap_err();
    assert_eq!((refused, t.in_use()), (GrantError::Unstable(REF), 0));
}

#[test]
fn the_table_grows_to_its_limit() {
    let mut t = table(1, 0);
    let full = GrantError::TableFull { max_frames: 4 };
    for frames in [3, 1, 4] {
        assert_eq!(grow(&mut t, frames), Ok(()));
    }
    assert_eq!((grow(&mut t, 5), grow(&mut t, u32::MAX)), (Err(full), Err(full)));
    assert_eq!(t.size(), Size { frames: 4, max_frames: 4 });
    let entries = Content::Entries;
    assert_eq!(t.set_gfn(entries, 3, Some(Gfn(77))), None);
    assert_eq!(t.set_gfn(entries, 3, Some(Gfn(78))), Some(Gfn(77)));
    let nowhere = (t.gfn(entries, 4), t.set_gfn(entries, 4, None));
    assert_eq!((t.gfn(entries, 3), nowhere), (Some(Gfn(78)), (None, None)));
}

#[test]
fn a_mapping_works_from_fill_to_take() {
    let (mut t, ram) = (table(1, 1), Ram::new());
    let mut maps = MapTrack::new(2);
    grant(&t, 9, PERMIT, 2, 5);
    let handle = maps.reserve().unwrap();
    assert!(maps.get(handle).is_err() && maps.take(handle, Gfn(100)).is_err());
    let pin = t.acquire(REF, want(2, Access::Write), ram.resolve()).unwrap();
    maps.fill(handle, Mapping { granter: DomId(1), at: Gfn(100), pin });
    let other = maps.reserve().unwrap();
    assert_eq!(maps.reserve(), Err(GrantError::NoHandle { max: 2 }));
    maps.cancel(other);
    assert_eq!(maps.take(handle, Gfn(101)).unwrap_err(), GrantError::WrongAddress { at: Gfn(100) });
    assert_eq!(maps.get(handle).unwrap().granter, DomId(1));
    let mapping = maps.take(handle, Gfn(100)).unwrap();
    assert_eq!(maps.take(handle, Gfn(100)).unwrap_err(), GrantError::BadHandle(handle));
    assert!(maps.mappings.taken() == 0 && maps.get(Handle(u32::MAX)).is_err());
    t.release(mapping.pin);
    assert_eq!((t.in_use(), ram.lent()), (0, 0));
}

#[test]
fn granted_pages_outlive_their_domain() {
    let ram = Ram::new();
    let mut pins = Vec::new();
    let mut t = table(1, 2);
    for gref in 0..200 {
        grant(&t, gref, PERMIT, 2, gref % 16);
        pins.push(t.acquire(GrantRef(gref), want(2, Access::Write), ram.resolve()).unwrap());
    }
    let (mut cursor, mut steps) = (0, 1);
    while !t.destroy_some(&mut cursor, 16) {
        steps += 1;
    }
    assert!(steps > 200 / 16);
    assert_eq!(ram.lent(), 200, "the users still hold them");
    assert_eq!(
        t.acquire(GrantRef(0), want(2, Access::Read), ram.resolve()).unwrap_err(),
        GrantError::NoDomain(DomId(1))
    );
    assert_eq!(grow(&mut t, 3), Err(GrantError::NoDomain(DomId(1))));
    pins.drain(..).for_each(|pin| t.release(pin));
    assert_eq!(ram.lent(), 0);
}

#[test]
fn a_full_heap_refuses_and_leaves_nothing_behind() {
    let (mut t, ram) = (table(1, 1), Ram::new());
    let mut maps = MapTrack::<Frame>::new(100);
    grant(&t, 9, PERMIT, 2, 5);
    for left in 0..2 {
        fail_after(Some(0));
        let grown = grow(&mut t, 2);
        fail_after(Some(left));
        let got = t.acquire(REF, want(2, Access::Read), ram.resolve());
        fail_after(Some(left));
        let handle = maps.reserve();
        fail_after(None);
        assert_eq!(grown, Err(GrantError::NoMemory));
        assert_eq!(got.unwrap_err(), GrantError::NoMemory);
        assert_eq!(handle, Err(GrantError::NoMemory));
    }
    assert_eq!((flags(&t, 9), t.in_use(), ram.lent(), t.size().frames), (PERMIT, 0, 0, 1));
    let pin = t.acquire(REF, want(2, Access::Read), ram.resolve()).unwrap();
    t.release(pin);
}

#[test]
fn pins_are_counted_not_guessed() {
    let (mut t, ram): (Table, _) = (table(1, 1), Ram::new());
    grant(&t, 9, PERMIT, 2, 5);
    let mut pins: Vec<_> =
        (0..10).map(|_| t.acquire(REF, want(2, Access::Write), ram.resolve()).unwrap()).collect();
    assert_eq!(Arc::strong_count(&ram.0[5]), 12, "ten users, the table, the domain");
    while let Some(pin) = pins.pop() {
        assert_eq!(flags(&t, 9), PERMIT | READING | WRITING);
        t.release(pin);
    }
    assert_eq!(flags(&t, 9), PERMIT);
}

/// A hundred thousand mappings cost each no more time than a hundred do, and no more memory than their handles stand for.
#[test]
#[cfg_attr(miri, ignore = "too many for an interpreter")]
fn mappings_cost_the_same_however_many_there_are() {
    const MANY: u32 = 100_000;
    let (mut t, ram) = (table(1, 1), Ram::new());
    let mut maps = MapTrack::new(MANY);
    grant(&t, 9, PERMIT, 2, 5);
    let mut rounds = |maps: &mut MapTrack<Frame>| {
        let mut best = u128::MAX;
        for _ in 0..20 {
            let start = std::time::Instant::now();
            for _ in 0..100 {
                let handle = maps.reserve().unwrap();
                let pin = t.acquire(REF, want(2, Access::Write), ram.resolve()).unwrap();
                maps.fill(handle, Mapping { granter: DomId(1), at: Gfn(100), pin });
                let mapping = maps.take(handle, Gfn(100)).unwrap();
                t.release(mapping.pin);
            }
            best = best.min(start.elapsed().as_nanos());
        }
        best
    };
    let few = rounds(&mut maps);
    let mut other = table(3, 1);
    grant(&other, 9, PERMIT, 2, 5);
    let ram = Ram::new();
    for _ in 0..MANY - 1 {
        let handle = maps.reserve().unwrap();
        let pin = other.acquire(REF, want(2, Access::Read), ram.resolve()).unwrap();
        maps.fill(handle, Mapping { granter: DomId(3), at: Gfn(100), pin });
    }
    let many = rounds(&mut maps);
    assert!(many < 4 * few, "100 maps and unmaps took {few} ns, with {MANY} mappings {many} ns");
    assert!(maps.reserve().is_ok());
    assert_eq!(maps.reserve(), Err(GrantError::NoHandle { max: MANY }));
    let (mut at, mut sum) = (Some(0), 0);
    while let Some(first) = at {
        let (count, next) = maps.count(DomId(3), first, 1000);
        (at, sum) = (next, sum + count);
    }
    assert_eq!(sum, MANY - 1);
    // What a mapping takes of the heap.
    assert!(size_of::<Mapping<u64>>() <= 40, "{}", size_of::<Mapping<u64>>());
}

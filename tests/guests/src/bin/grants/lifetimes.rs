//! What a mapping keeps alive, and what cannot be done with it.

use alloc::vec::Vec;

use test_guests::abi::grant_table::*;
use test_guests::abi::memory::*;
use test_guests::abi::xen::DOMID_SELF;
use test_guests::abi::{Handle64, Plain};
use test_guests::call::{self, Answer};
use test_guests::paging::Page;
use test_guests::suite::{self, Outcome};
use test_guests::{check, check_eq, grants};

use crate::mapping::{map, own_id, unmap};

const FIRST: u32 = 60;
const SECOND: u32 = 61;
const USED: EntryFlags = EntryFlags::READING.union(EntryFlags::WRITING);

fn in_use(gref: u32) -> bool {
    grants::entry(gref).flags.intersects(USED)
}

fn grant_new(gref: u32, content: u64) -> Page {
    let page = Page::new();
    page.set(0, content);
    grants::grant(gref, own_id(), page.gfn(), false);
    page
}

fn reservation(op: u32, gfn: u64) -> Answer {
    let frames = [gfn];
    let mut arg: Reservation = Reservation::zeroed();
    (arg.extent_start, arg.nr_extents, arg.domid) = (Handle64::to(frames.as_ptr()), 1, DOMID_SELF);
    let answer = call::memory(op, &mut arg);
    core::hint::black_box(frames);
    answer
}

/// A grant is in use until its last mapping is gone.
pub fn two_mappings() -> Outcome {
    let (_, one, other) = (grant_new(FIRST, 0xa1), Page::new(), Page::new());
    let first = map(FIRST, one.address(), MapFlags::HOST_MAP)?;
    let second = map(FIRST, other.address(), MapFlags::HOST_MAP | MapFlags::READONLY)?;
    if first.status != STATUS_OKAY || second.status != STATUS_OKAY {
        return suite::skip("an own page cannot be mapped twice here");
    }
    check!(first.handle != second.handle);
    check_eq!(other.get::<u64>(0), 0xa1);
    check_eq!(unmap(one.address(), first.handle)?, STATUS_OKAY);
    check!(grants::entry(FIRST).flags.contains(EntryFlags::READING));
    check_eq!(other.get::<u64>(0), 0xa1, "the other mapping");
    check_eq!(unmap(other.address(), second.handle)?, STATUS_OKAY);
    check!(!in_use(FIRST));
    grants::end(FIRST);
    Ok(())
}

/// The granting domain gives the page back: its memory lives on until the mapping goes, and nobody else has it.
pub fn page_given_back() -> Outcome {
    let (page, place) = (grant_new(FIRST, 0xb1), Page::new());
    let mapped = map(FIRST, place.address(), MapFlags::HOST_MAP)?;
    check_eq!(mapped.status, STATUS_OKAY);
    if page.get::<u64>(0) != 0xb1 {
        unmap(place.address(), mapped.handle)?;
        grants::end(FIRST);
        return suite::skip("mapping an own page moves it here");
    }
    check_eq!(reservation(DECREASE_RESERVATION, page.gfn()), Ok(1));
    check_eq!(page.get::<u64>(0), u64::MAX, "it is gone where it was");
    check_eq!(place.get::<u64>(0), 0xb1, "and still mapped");
    place.set(8, 0xb2_u64);
    check_eq!(place.get::<u64>(8), 0xb2);
    // Memory at the old place again: another page, or, where frames have fixed numbers, none until the old one is free.
    let again = reservation(POPULATE_PHYSMAP, page.gfn())?;
    if again == 1 {
        check_eq!(page.get::<u64>(0), 0, "fresh memory");
        page.set(0, 0xb3_u64);
    }
    check_eq!(place.get::<u64>(0), 0xb1);
    check_eq!(unmap(place.address(), mapped.handle)?, STATUS_OKAY);
    check_eq!(place.get::<u64>(0), u64::MAX);
    check!(!in_use(FIRST));
    grants::end(FIRST);
    if again == 0 {
        check_eq!(reservation(POPULATE_PHYSMAP, page.gfn()), Ok(1), "the frame is free now");
        check_eq!(page.get::<u64>(0), 0, "and clean");
    }
    Ok(())
}

/// What is mapped by a grant is not the domain's to give back, to move or to grant.
pub fn mapping_is_not_memory() -> Outcome {
    let (_, place, other) = (grant_new(FIRST, 0xc1), Page::new(), Page::new());
    let mapped = map(FIRST, place.address(), MapFlags::HOST_MAP)?;
    check_eq!(mapped.status, STATUS_OKAY);
    let answer = reservation(DECREASE_RESERVATION, place.gfn());
    check!(answer == Ok(0) || answer.is_err(), "given back: {answer:?}");
    let mut remove: RemoveFromPhysmap =
        RemoveFromPhysmap { domid: DOMID_SELF, _pad: [0; 6], gpfn: place.gfn() };
    check!(call::memory(REMOVE_FROM_PHYSMAP, &mut remove).is_err(), "removed");
    let mut add: AddToPhysmap = AddToPhysmap {
        domid: DOMID_SELF,
        size: 1,
        space: MAPSPACE_GMFN,
        idx: place.gfn(),
        gpfn: other.gfn(),
    };
    check!(call::memory(ADD_TO_PHYSMAP, &mut add).is_err(), "moved");
    check_eq!(reservation(POPULATE_PHYSMAP, place.gfn()), Ok(0), "covered by memory");
    grants::grant(SECOND, own_id(), place.gfn(), false);
    let onward = map(SECOND, other.address(), MapFlags::HOST_MAP)?;
    check!(onward.status < 0 && !in_use(SECOND), "granted onward: status {}", onward.status);
    check_eq!(place.get::<u64>(0), 0xc1, "after all that");
    check_eq!(unmap(place.address(), mapped.handle)?, STATUS_OKAY);
    grants::end(FIRST);
    grants::end(SECOND);
    Ok(())
}

/// A second grant mapped over a first: each handle ends its own use, and the first one's does not uncover the second.
pub fn covered() -> Outcome {
    let (place, _) = (Page::new(), (grant_new(FIRST, 0xd1), grant_new(SECOND, 0xd2)));
    let first = map(FIRST, place.address(), MapFlags::HOST_MAP)?;
    check_eq!(first.status, STATUS_OKAY);
    let second = map(SECOND, place.address(), MapFlags::HOST_MAP)?;
    if second.status != STATUS_OKAY {
        check!(!in_use(SECOND));
        check_eq!(place.get::<u64>(0), 0xd1);
        check_eq!(unmap(place.address(), first.handle)?, STATUS_OKAY);
    } else {
        check_eq!(place.get::<u64>(0), 0xd2);
        let status = unmap(place.address(), first.handle)?;
        check_eq!(place.get::<u64>(0), 0xd2, "the first handle's status is {status}");
        check!(in_use(SECOND));
        check!(in_use(FIRST) == (status != STATUS_OKAY));
        check_eq!(unmap(place.address(), second.handle)?, STATUS_OKAY);
        check_eq!(place.get::<u64>(0), u64::MAX);
    }
    check!(!in_use(SECOND));
    grants::end(FIRST);
    grants::end(SECOND);
    Ok(())
}

/// A handle goes with its address.
pub fn wrong_place() -> Outcome {
    let (_, _) = (grant_new(FIRST, 0xe1), grant_new(SECOND, 0xe2));
    let (one, other) = (Page::new(), Page::new());
    let first = map(FIRST, one.address(), MapFlags::HOST_MAP)?;
    let second = map(SECOND, other.address(), MapFlags::HOST_MAP)?;
    check_eq!((first.status, second.status), (STATUS_OKAY, STATUS_OKAY));
    for address in [other.address(), Page::new().address(), one.address() + 8, 1 << 51, !0xfff] {
        let status = unmap(address, first.handle)?;
        check!(status < 0, "at {address:#x}: status {status}");
    }
    check_eq!((one.get::<u64>(0), other.get::<u64>(0)), (0xe1, 0xe2));
    check!(in_use(FIRST) && in_use(SECOND));
    check_eq!(unmap(one.address(), first.handle)?, STATUS_OKAY);
    check_eq!(unmap(other.address(), second.handle)?, STATUS_OKAY);
    check!(!in_use(FIRST) && !in_use(SECOND));
    grants::end(FIRST);
    grants::end(SECOND);
    Ok(())
}

/// More than one step of a call, good and bad ones mixed; each says how it went, and in the end nothing is in use.
pub fn many() -> Outcome {
    const COUNT: u32 = 70;
    let (pages, places) = (Page::run(COUNT as usize), Page::run(COUNT as usize));
    let at = |page: Page, i: u32| Page::at(page.address() + u64::from(i) * 4096);
    let bad = |i: u32| i % 7 == 3;
    let mut ops = Vec::new();
    for i in 0..COUNT {
        at(pages, i).set(0, u64::from(i) | 0x100);
        if !bad(i) {
            grants::grant(100 + i, own_id(), at(pages, i).gfn(), false);
        }
        let mut op = MapGrantRef::zeroed();
        (op.host_addr, op.flags, op.gref) = (at(places, i).address(), MapFlags::HOST_MAP, 100 + i);
        (op.dom, op.status) = (own_id(), 1);
        ops.push(op);
    }
    call::grants(OP_MAP_GRANT_REF, &mut ops)?;
    for (i, op) in (0..COUNT).zip(&ops) {
        check_eq!(op.status == STATUS_OKAY, !bad(i), "element {i}: status {}", op.status);
        check_eq!(at(places, i).get::<u64>(0), if bad(i) { 0 } else { u64::from(i) | 0x100 });
    }
    let mut ends = Vec::new();
    for op in &ops {
        let mut end = UnmapGrantRef::zeroed();
        let handle = if op.status == STATUS_OKAY { op.handle } else { 0xffff };
        (end.host_addr, end.handle, end.status) = (op.host_addr, handle, 1);
        ends.push(end);
    }
    call::grants(OP_UNMAP_GRANT_REF, &mut ends)?;
    for (i, end) in (0..COUNT).zip(&ends) {
        check_eq!(end.status, if bad(i) { STATUS_BAD_HANDLE } else { STATUS_OKAY }, "element {i}");
        check!(!in_use(100 + i));
        grants::end(100 + i);
    }
    Ok(())
}

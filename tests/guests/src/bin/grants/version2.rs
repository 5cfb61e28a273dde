//! Version 2 of the table: status words, parts of pages, grants that are passed on. Each test goes back to version 1.

use test_guests::abi::Plain;
use test_guests::abi::errno::Errno;
use test_guests::abi::grant_table::*;
use test_guests::abi::memory::*;
use test_guests::abi::xen::DOMID_SELF;
use test_guests::call::{self, Answer, refused};
use test_guests::paging::Page;
use test_guests::suite::{self, Outcome, Verdict};
use test_guests::{check, check_eq, grants};

use crate::copy::{copy, end, gref};
use crate::mapping::{map, own_id, unmap};

const GREF: u32 = 40;
const USED: u16 = EntryFlags::READING.union(EntryFlags::WRITING).bits();
const ACCESS: EntryFlags = EntryFlags::PERMIT_ACCESS;

fn set_version(version: u32) -> Answer {
    call::grant(OP_SET_VERSION, &mut SetVersion { version })
}

fn place_status(index: u64, page: Page) -> Answer {
    let idx = u64::from(MAPIDX_GRANT_TABLE_STATUS) | index;
    let gpfn = page.gfn();
    let mut add: AddToPhysmap =
        AddToPhysmap { domid: DOMID_SELF, size: 0, space: MAPSPACE_GRANT_TABLE, idx, gpfn };
    call::memory(ADD_TO_PHYSMAP, &mut add)
}

/// A table of version 2 with its first page of status words.
fn version2() -> Result<Page, Verdict> {
    grants::page();
    check_eq!(set_version(2), Ok(0));
    let status = Page::new();
    check_eq!(place_status(0, status), Ok(0));
    Ok(status)
}

/// Version 1 again, and memory where the status words were.
fn leave(status: Page) -> Outcome {
    check_eq!(set_version(1), Ok(0));
    check_eq!(status.get::<u64>(0), u64::MAX, "the status words are gone");
    Ok(())
}

fn set<T: Plain>(gref: u32, entry: T) {
    grants::page().set(u64::from(gref) * 16, entry);
}

fn full_page(gref: u32, flags: EntryFlags, frame: u64) {
    set(gref, FullPage { hdr: EntryHeader { flags, domid: own_id() }, pad0: 0, frame });
}

fn transitive(gref: u32, flags: EntryFlags, domid: u16, trans_domid: u16, to: u32) {
    let hdr = EntryHeader { flags: flags | EntryFlags::TYPE_MASK, domid };
    set(gref, Transitive { hdr, trans_domid, pad0: 0, gref: to });
}

pub fn there_and_back() -> Outcome {
    grants::page();
    check!(place_status(0, Page::new()).is_err(), "status words in version 1");
    grants::grant(GREF, own_id(), Page::new().gfn(), false);
    let status = version2()?;
    let mut op = GetVersion { dom: DOMID_SELF, pad: 0, version: 0 };
    call::grant(OP_GET_VERSION, &mut op)?;
    check_eq!(op.version, 2);
    check_eq!(grants::page().get::<u64>(u64::from(GREF) * 16), 0, "entries are empty");
    check_eq!(set_version(2), Ok(0), "again");
    check_eq!(set_version(3), refused(Errno::EINVAL));
    check!(place_status(1 << 20, Page::new()).is_err(), "status words without end");
    let frames = [0_u64; 2];
    let mut list: GetStatusFrames = GetStatusFrames::zeroed();
    (list.dom, list.nr_frames, list.status) = (DOMID_SELF, 1, 1);
    list.frame_list = test_guests::abi::Handle64::to(frames.as_ptr());
    if call::grant(OP_GET_STATUS_FRAMES, &mut list) == refused(Errno::ENOSYS) {
        leave(status)?;
        return suite::skip("nobody asks where the status words are here");
    }
    check_eq!((list.status, core::hint::black_box(frames)[0]), (STATUS_OKAY, status.gfn()));
    (list.nr_frames, list.status) = (1 << 20, 1);
    call::grant(OP_GET_STATUS_FRAMES, &mut list)?;
    check_eq!(list.status, STATUS_GENERAL_ERROR, "more than there are");
    leave(status)
}

pub fn whole_pages() -> Outcome {
    let status = version2()?;
    let (page, place) = (Page::new(), Page::new());
    page.set(0, 0xd1_u64);
    full_page(GREF, ACCESS, page.gfn());
    let used = |gref: u32| status.get::<u16>(u64::from(gref) * 2) & USED;
    let mapped = map(GREF, place.address(), MapFlags::HOST_MAP)?;
    if mapped.status == STATUS_OKAY {
        check_eq!((place.get::<u64>(0), used(GREF), used(GREF + 1)), (0xd1, USED, 0));
        check_eq!(set_version(1), refused(Errno::EBUSY), "in use");
        check_eq!(unmap(place.address(), mapped.handle)?, STATUS_OKAY);
        check_eq!(used(GREF), 0);
    }
    full_page(GREF, ACCESS | EntryFlags::READONLY, page.gfn());
    check_eq!(map(GREF, place.address(), MapFlags::HOST_MAP)?.status, STATUS_GENERAL_ERROR);
    for frame in [1 << 40, u64::MAX] {
        full_page(GREF, ACCESS, frame);
        let copied = copy(gref(GREF.into(), 0), end(Page::new().gfn(), 0), 8, CopyFlags::SOURCE_GREF)?;
        check!(copied < 0, "frame {frame:#x}: status {copied}");
    }
    check_eq!(used(GREF), 0);
    leave(status)
}

pub fn parts() -> Outcome {
    let status = version2()?;
    let (page, other) = (Page::new(), Page::new());
    page.fill(0x77);
    let hdr = EntryHeader { flags: ACCESS | EntryFlags::SUB_PAGE, domid: own_id() };
    set(GREF, SubPage { hdr, page_off: 100, length: 50, frame: page.gfn() });
    let from =
        |offset, len| copy(gref(GREF.into(), offset), end(other.gfn(), 0), len, CopyFlags::SOURCE_GREF);
    let to = |offset, len| copy(end(other.gfn(), 0), gref(GREF.into(), offset), len, CopyFlags::DEST_GREF);
    check_eq!((from(100, 50)?, from(149, 1)?, to(100, 50)?), (STATUS_OKAY, STATUS_OKAY, STATUS_OKAY));
    check_eq!(other.get::<u8>(49), 0x77);
    for (offset, len) in [(99, 2), (100, 51), (0, 4096), (150, 1)] {
        check_eq!((from(offset, len)?, to(offset, len)?), (STATUS_GENERAL_ERROR, STATUS_GENERAL_ERROR));
    }
    check_eq!(map(GREF, other.address(), MapFlags::HOST_MAP)?.status, STATUS_GENERAL_ERROR);
    set(GREF, SubPage { hdr, page_off: 4000, length: 0xffff, frame: page.gfn() });
    check_eq!(from(4000, 97)?, STATUS_BAD_COPY_ARG);
    check_eq!(status.get::<u16>(u64::from(GREF) * 2) & USED, 0);
    leave(status)
}

pub fn passed_on() -> Outcome {
    let status = version2()?;
    let (page, other) = (Page::new(), Page::new());
    page.set(8, 0xe1_u64);
    let none = EntryFlags::empty();
    let through = |by: u32| {
        let from = copy(gref(by.into(), 8), end(other.gfn(), 0), 8, CopyFlags::SOURCE_GREF)?;
        let to = copy(end(other.gfn(), 0), gref(by.into(), 16), 8, CopyFlags::DEST_GREF)?;
        Ok::<_, Verdict>((from >= 0, to >= 0))
    };
    full_page(GREF, ACCESS, page.gfn());
    transitive(GREF + 1, none, own_id(), own_id(), GREF);
    if through(GREF + 1)? == (false, false) {
        leave(status)?;
        return suite::skip("a domain passes nothing on to itself here");
    }
    check_eq!((other.get::<u64>(0), page.get::<u64>(16)), (0xe1, 0xe1));
    check_eq!(map(GREF + 1, other.address(), MapFlags::HOST_MAP)?.status, STATUS_GENERAL_ERROR);
    transitive(GREF + 2, EntryFlags::READONLY, own_id(), own_id(), GREF);
    check_eq!(through(GREF + 2)?, (true, false), "read-only");
    for (domid, trans_domid, to, what) in [
        (0x1234, own_id(), GREF, "for somebody else"),
        (own_id(), 0x1234, GREF, "of nobody"),
        (own_id(), own_id(), GREF + 1, "twice"),
        (own_id(), own_id(), GREF + 3, "to itself"),
        (own_id(), own_id(), GREF + 9, "of nothing"),
        (own_id(), own_id(), 1 << 20, "past the table"),
    ] {
        transitive(GREF + 3, none, domid, trans_domid, to);
        check_eq!(through(GREF + 3)?, (false, false), "{what}");
    }
    for i in 0..10 {
        check_eq!(status.get::<u16>(u64::from(GREF + i) * 2) & USED, 0, "reference {}", GREF + i);
    }
    leave(status)
}

/// Unmapping puts an own page in the place of the mapped one.
pub fn replaced() -> Outcome {
    let (page, place, own) = (Page::new(), Page::new(), Page::new());
    own.set(0, 0xf1_u64);
    grants::grant(GREF, own_id(), page.gfn(), false);
    let mapped = map(GREF, place.address(), MapFlags::HOST_MAP)?;
    check_eq!(mapped.status, STATUS_OKAY);
    let replace = |host_addr: u64, new_addr: u64, handle: u32| {
        let mut op = UnmapAndReplace { host_addr, new_addr, handle, status: 1, _pad: [0; 2] };
        call::grant(OP_UNMAP_AND_REPLACE, &mut op).map(|_| op.status)
    };
    let Ok(unknown) = replace(place.address(), own.address(), 12_345) else {
        check_eq!(unmap(place.address(), mapped.handle)?, STATUS_OKAY);
        return suite::skip("no page is replaced here");
    };
    check!(unknown < 0);
    check!(replace(place.address() + 8, own.address(), mapped.handle)? < 0);
    check!(replace(place.address(), 1 << 50, mapped.handle)? < 0);
    let done = replace(place.address(), own.address(), mapped.handle)?;
    if done == STATUS_GENERAL_ERROR {
        check_eq!(replace(place.address(), 0, mapped.handle), Ok(STATUS_OKAY));
        return suite::skip("nothing is put in an unmapped page's place here");
    }
    check_eq!((done, place.get::<u64>(0), own.get::<u64>(0)), (STATUS_OKAY, 0xf1, u64::MAX));
    check!(grants::entry(GREF).flags.bits() & USED == 0, "still in use");
    check_eq!(replace(place.address(), Page::new().address(), mapped.handle), Ok(STATUS_BAD_HANDLE), "twice");
    grants::end(GREF);
    Ok(())
}

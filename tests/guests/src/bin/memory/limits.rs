//! Counts, places and lists at the edge of what is possible, and calls that are for others.
//!
//! Two tests fail on stock Xen, which counts a page twice when memory is put where there is some already, and loses one
//! that it is told to move to an impossible place.

use test_guests::abi::errno::Errno;
use test_guests::abi::memory::*;
use test_guests::abi::xen::*;
use test_guests::abi::{Handle64, Plain, Word};
use test_guests::call::{self, Answer, refused};
use test_guests::paging::{NON_CANONICAL, Page, UNMAPPED};
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq, shared};

use crate::balloon::reservation;

fn extent(op: u32, gfn: u64, order: u32) -> Answer {
    let mut frames = [gfn];
    let answer = call::memory(op, &mut reservation(&mut frames, order));
    core::hint::black_box(frames);
    answer
}

fn pages() -> Answer {
    call::memory(CURRENT_RESERVATION, &mut { DOMID_SELF })
}

/// An aligned run of pages, given back and taken again in one extent.
pub fn runs() -> Outcome {
    const ORDER: u32 = 3;
    let first = Page::run(16).gfn().next_multiple_of(8);
    let before = pages()?;
    check_eq!(extent(DECREASE_RESERVATION, first, ORDER), Ok(1));
    check_eq!(pages()?, before - 8);
    check_eq!(extent(POPULATE_PHYSMAP, first, ORDER), Ok(1));
    check_eq!(pages()?, before);
    for i in 0..8 {
        check_eq!(Page::at((first + i) << 12).get::<u64>(0), 0, "page {i} is clean");
    }
    Ok(())
}

/// Where memory is none is added, and where none is none is taken away.
pub fn twice() -> Outcome {
    let page = Page::new();
    page.set(0, 0x77_u64);
    let before = pages()?;
    let answer = extent(POPULATE_PHYSMAP, page.gfn(), 0)?;
    // Xen replaces the page.
    check!(answer == 1 || page.get::<u64>(0) == 0x77);
    check_eq!(extent(DECREASE_RESERVATION, page.gfn(), 0), Ok(1));
    check_eq!(extent(DECREASE_RESERVATION, page.gfn(), 0), Ok(0), "it is gone");
    check_eq!(extent(POPULATE_PHYSMAP, page.gfn(), 0), Ok(1));
    check_eq!(pages()?, before);
    Ok(())
}

/// More extents than one can name; the first ones of the list are good.
pub fn counts() -> Outcome {
    let page = Page::new();
    page.set(0, 0x88_u64);
    let mut frames = [page.gfn()];
    for count in [1 << 26, 1 << 32, u64::MAX] {
        for op in [DECREASE_RESERVATION, POPULATE_PHYSMAP] {
            let mut arg = reservation(&mut frames, 0);
            arg.nr_extents = count;
            check_eq!(call::memory(op, &mut arg), Ok(0), "op {op}, {count:#x} extents");
        }
    }
    check_eq!(page.get::<u64>(0), 0x88, "it was not touched");
    // Some are done already, says the operation's number: all of them, or more.
    for done in [1_u64, 2, 0x3ff_ffff] {
        let op = u64::from(DECREASE_RESERVATION) | done << EXTENT_SHIFT;
        let answer = call::any(HYPERCALL_MEMORY_OP, &[op, call::address(&mut reservation(&mut frames, 0))]);
        check!(answer.is_ok(), "{done} of 1 done: {answer:?}");
    }
    check_eq!(page.get::<u64>(0), 0x88);
    Ok(())
}

/// The structure is good, and the list in it leads nowhere.
pub fn wild_lists() -> Outcome {
    let before = pages()?;
    for list in [UNMAPPED, NON_CANONICAL, u64::MAX - 4, 0xffff_8000_0000_0000] {
        for op in [DECREASE_RESERVATION, POPULATE_PHYSMAP] {
            let mut arg = reservation(&mut [], 0);
            (arg.nr_extents, arg.extent_start) = (1000, Handle64::from_raw(list));
            let answer = call::memory(op, &mut arg);
            check!(answer == Ok(0) || answer == refused(Errno::EFAULT), "list at {list:#x}: {answer:?}");
        }
        let mut map: MemoryMap = MemoryMap::zeroed();
        (map.nr_entries, map.buffer) = (u32::MAX, Handle64::from_raw(list));
        check_eq!(call::memory(MEMORY_MAP, &mut map), refused(Errno::EFAULT), "buffer at {list:#x}");
    }
    check_eq!(pages()?, before);
    Ok(())
}

/// The shared info page is no memory of the domain: giving back the place where it is does not free it.
pub fn hypervisors_pages() -> Outcome {
    let (home, place) = (shared::page(), Page::new());
    let before = pages()?;
    let add = |gpfn: u64| {
        let mut op: AddToPhysmap =
            AddToPhysmap { domid: DOMID_SELF, size: 1, space: MAPSPACE_SHARED_INFO, idx: 0, gpfn };
        call::memory(ADD_TO_PHYSMAP, &mut op)
    };
    add(place.gfn())?;
    check_eq!(pages()?, before - 1, "the page that was there is free");
    let answer = extent(DECREASE_RESERVATION, place.gfn(), 0);
    check!(answer.is_ok(), "{answer:?}");
    check_eq!(pages()?, before - 1, "a page that was never the domain's");
    add(home.gfn())?;
    check!(home.get::<u32>(core::mem::offset_of!(SharedInfo, wc_sec) as u64) != 0, "it is alive");
    Ok(())
}

/// A page moved to where it is, and onto another one.
pub fn same_place() -> Outcome {
    let (one, other) = (Page::new(), Page::new());
    one.set(0, 0x91_u64);
    other.set(0, 0x92_u64);
    let before = pages()?;
    let mv = |idx: u64, gpfn: u64| {
        let mut op: AddToPhysmap =
            AddToPhysmap { domid: DOMID_SELF, size: 1, space: MAPSPACE_GMFN, idx, gpfn };
        call::memory(ADD_TO_PHYSMAP, &mut op)
    };
    // Refused or not, it is still there.
    let _ = mv(one.gfn(), one.gfn());
    check_eq!(one.get::<u64>(0), 0x91);
    check_eq!(pages()?, before);
    mv(one.gfn(), other.gfn())?;
    check_eq!((one.get::<u64>(0), other.get::<u64>(0)), (u64::MAX, 0x91));
    check_eq!(pages()?, before - 1, "what was there is free");
    check!(mv(one.gfn(), other.gfn()).is_err(), "nothing to move");
    for gpfn in [1 << 40, 1 << 52, u64::MAX] {
        check!(mv(other.gfn(), gpfn).is_err(), "to {gpfn:#x}");
        check_eq!(other.get::<u64>(0), 0x91, "to {gpfn:#x}");
    }
    Ok(())
}

/// Calls that the control domain makes; others are refused.
pub fn for_the_control_domain() -> Outcome {
    let mut entries = [E820Entry::zeroed(); 64];
    let mut map: MemoryMap = MemoryMap::zeroed();
    (map.nr_entries, map.buffer) = (64, Handle64::to(entries.as_mut_ptr()));
    let answer = call::memory(MACHINE_MEMORY_MAP, &mut map);
    let entries = core::hint::black_box(entries);
    if boot_info::is_dom0() {
        // Xen has no such call for domains with a p2m.
        let told = answer == Ok(0) && map.nr_entries > 1 && entries[0].size.get() > 0;
        check!(told || answer == refused(Errno::ENOSYS), "{answer:?}");
    } else {
        check_eq!(answer, refused(Errno::EPERM));
        check_eq!(entries[0].size.get(), 0);
    }
    let mut claim = reservation(&mut [], 0);
    claim.nr_extents = u64::MAX;
    check!(call::memory(CLAIM_PAGES, &mut claim).is_err(), "more pages than the machine has");
    let mut foreign: ForeignMemoryMap = ForeignMemoryMap::zeroed();
    (foreign.domid, foreign.map.nr_entries) = (0x1234, 1);
    check!(call::memory(SET_MEMORY_MAP, &mut foreign).is_err(), "a map for nobody");
    for domid in [0x1234_u16, DOMID_IDLE, DOMID_XEN] {
        let mut op: RemoveFromPhysmap = RemoveFromPhysmap { domid, _pad: [0; 6], gpfn: Page::new().gfn() };
        check!(call::memory(REMOVE_FROM_PHYSMAP, &mut op).is_err(), "from domain {domid:#x}");
        let mut of = domid;
        check!(call::memory(MAXIMUM_GPFN, &mut of).is_err(), "of domain {domid:#x}");
    }
    Ok(())
}

/// Only paravirtualized guests exchange pages, and nobody shares or pages out.
pub fn calls_of_other_guests() -> Outcome {
    let page = Page::new();
    for op in [
        INCREASE_RESERVATION,
        EXCHANGE,
        MACHPHYS_MAPPING,
        MACHPHYS_MFN_LIST,
        SET_POD_TARGET,
        PAGING_OP,
        ACCESS_OP,
        SHARING_OP,
        63,
    ] {
        page.fill(0);
        page.set(0, [UNMAPPED; 8]);
        let answer = call::any(HYPERCALL_MEMORY_OP, &[op.into(), page.address()]);
        check!(answer.is_err() || answer == Ok(0), "op {op}: {answer:?}");
    }
    Ok(())
}

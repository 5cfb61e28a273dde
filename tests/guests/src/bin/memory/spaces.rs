//! What can be put at a guest frame.

use test_guests::abi::Handle64;
use test_guests::abi::errno::Errno;
use test_guests::abi::memory::*;
use test_guests::abi::plain::Plain;
use test_guests::abi::xen::*;
use test_guests::call::{self, Answer, refused};
use test_guests::paging::Page;
use test_guests::suite::Outcome;
use test_guests::{check, check_eq, grants, shared};

fn add(space: u32, idx: u64, gpfn: u64) -> Answer {
    let mut op: AddToPhysmap = AddToPhysmap { domid: DOMID_SELF, size: 1, space, idx, gpfn };
    call::memory(ADD_TO_PHYSMAP, &mut op)
}

/// The page may be mapped again elsewhere; then it is there, alive.
pub fn shared_info_moves() -> Outcome {
    let old = shared::page();
    let seconds = |page: Page| page.get::<u32>(core::mem::offset_of!(SharedInfo, wc_sec) as u64);
    let start = seconds(old);
    check!(start != 0);
    let new = Page::new();
    add(MAPSPACE_SHARED_INFO, 0, new.gfn())?;
    check_eq!(seconds(new), start);
    // And back, so that the other tests find it where they look.
    add(MAPSPACE_SHARED_INFO, 0, old.gfn())?;
    check_eq!(seconds(old), start);
    Ok(())
}

pub fn grant_table() -> Outcome {
    let page = grants::page();
    grants::grant(20, 0x123, 0x4567, true);
    let again = Page::new();
    add(MAPSPACE_GRANT_TABLE, 0, again.gfn())?;
    check_eq!(again.get::<u64>(20 * 8) >> 32, 0x4567);
    add(MAPSPACE_GRANT_TABLE, 0, page.gfn())?;
    grants::end(20);
    for idx in [1 << 20, 0x7fff_ffff, u64::MAX] {
        check!(add(MAPSPACE_GRANT_TABLE, idx, again.gfn()).is_err(), "frame {idx:#x} of the table");
    }
    Ok(())
}

/// A frame's memory goes to another frame number.
pub fn frames_move() -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    from.set(0, 0xfeed_u64);
    add(MAPSPACE_GMFN, from.gfn(), to.gfn())?;
    check_eq!(to.get::<u64>(0), 0xfeed);
    // Where it was is nothing now: reads give ones.
    check_eq!(from.get::<u64>(0), u64::MAX);
    Ok(())
}

pub fn batches() -> Outcome {
    let (page, table) = (Page::new(), grants::page());
    let bad = 1_u64 << 20;
    let idxs = [0_u64, bad, 0];
    let gpfns = [page.gfn(), page.gfn(), page.gfn()];
    let errs = [0x55_i32; 3];
    let mut op: AddToPhysmapBatch = AddToPhysmapBatch {
        domid: DOMID_SELF,
        space: MAPSPACE_GRANT_TABLE as u16,
        size: 3,
        foreign_domid: 0,
        idxs: Handle64::to(idxs.as_ptr()),
        gpfns: Handle64::to(gpfns.as_ptr()),
        errs: Handle64::to(errs.as_ptr()),
    };
    check_eq!(call::memory(ADD_TO_PHYSMAP_BATCH, &mut op), Ok(0));
    let errs = core::hint::black_box(errs);
    check_eq!((errs[0], errs[2]), (0, 0));
    // Back to where the other tests find it.
    add(MAPSPACE_GRANT_TABLE, 0, table.gfn())?;
    check!(errs[1] < 0, "{errs:?}");
    // A batch that names a domain that is not there.
    op.domid = 0x1234;
    check!(call::no_domain(call::memory(ADD_TO_PHYSMAP_BATCH, &mut op)));
    op.domid = DOMID_SELF;
    op.idxs = Handle64::from_raw(test_guests::paging::UNMAPPED);
    check_eq!(call::memory(ADD_TO_PHYSMAP_BATCH, &mut op), refused(Errno::EFAULT));
    op.size = 0;
    check_eq!(call::memory(ADD_TO_PHYSMAP_BATCH, &mut op), Ok(0));
    Ok(())
}

pub fn removed() -> Outcome {
    let page = Page::new();
    page.fill(0x11);
    let mut op: RemoveFromPhysmap = RemoveFromPhysmap { domid: DOMID_SELF, _pad: [0; 6], gpfn: page.gfn() };
    check_eq!(call::memory(REMOVE_FROM_PHYSMAP, &mut op), Ok(0));
    check_eq!(page.get::<u64>(0), u64::MAX);
    check!(call::memory(REMOVE_FROM_PHYSMAP, &mut op).is_err(), "nothing is there any more");
    op.gpfn = u64::MAX;
    check!(call::memory(REMOVE_FROM_PHYSMAP, &mut op).is_err());
    Ok(())
}

pub fn bad_spaces() -> Outcome {
    let page = Page::new();
    for space in [6, 63, u32::MAX] {
        check!(add(space, 0, page.gfn()).is_err(), "space {space}");
    }
    check!(add(MAPSPACE_GMFN_FOREIGN, 0, page.gfn()).is_err(), "foreign frames come in batches only");
    check!(add(MAPSPACE_GMFN, 1 << 40, page.gfn()).is_err());
    check!(add(MAPSPACE_GMFN, page.gfn(), u64::MAX).is_err());
    let mut op: AddToPhysmap = AddToPhysmap::zeroed();
    op.domid = 0x1234;
    check!(call::no_domain(call::memory(ADD_TO_PHYSMAP, &mut op)));
    Ok(())
}

/// How large a resource is can be asked; what is no resource is refused.
pub fn resources() -> Outcome {
    let mut op: AcquireResource = AcquireResource::zeroed();
    op.domid = DOMID_SELF;
    op.kind = RESOURCE_GRANT_TABLE;
    op.id = RESOURCE_GRANT_TABLE_ID_SHARED;
    let answer = call::memory(ACQUIRE_RESOURCE, &mut op);
    check!(answer.is_err() || op.nr_frames > 0, "{answer:?}, {} frames", op.nr_frames);
    op.kind = 77;
    op.nr_frames = 0;
    check!(call::memory(ACQUIRE_RESOURCE, &mut op).is_err());
    Ok(())
}

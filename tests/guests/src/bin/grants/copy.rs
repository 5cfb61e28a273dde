//! Copies between frames and grants.

use alloc::vec::Vec;

use test_guests::abi::grant_table::*;
use test_guests::abi::xen::DOMID_SELF;
use test_guests::paging::Page;
use test_guests::suite::{Outcome, Verdict};
use test_guests::{call, check, check_eq, grants};

use crate::mapping::own_id;

pub fn end(u: u64, offset: u16) -> CopyPtr {
    CopyPtr { u, domid: DOMID_SELF, offset, _pad: [0; 4] }
}

/// An end that is a grant, which names its domain.
pub fn gref(gref: u64, offset: u16) -> CopyPtr {
    CopyPtr { domid: own_id(), ..end(gref, offset) }
}

fn job(source: CopyPtr, dest: CopyPtr, len: u16, flags: CopyFlags) -> Copy {
    Copy { source, dest, len, flags, status: 1, _pad: [0; 2] }
}

pub fn copy(source: CopyPtr, dest: CopyPtr, len: u16, flags: CopyFlags) -> Result<i16, Verdict> {
    let mut op = job(source, dest, len, flags);
    call::grant(OP_COPY, &mut op)?;
    Ok(op.status)
}

pub fn frames() -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    from.fill(0xab);
    to.fill(0);
    check_eq!(copy(end(from.gfn(), 100), end(to.gfn(), 201), 57, CopyFlags::empty())?, STATUS_OKAY);
    for offset in 0..4096 {
        let expected = if (201..258).contains(&offset) { 0xab } else { 0 };
        check_eq!(to.get::<u8>(offset), expected, "byte {offset}");
    }
    check_eq!(copy(end(from.gfn(), 0), end(to.gfn(), 0), 4096, CopyFlags::empty())?, STATUS_OKAY);
    check_eq!(to.get::<u64>(4088), 0xabab_abab_abab_abab);
    // Nothing is little, but no error; the ends need not differ.
    check_eq!(copy(end(from.gfn(), 0), end(to.gfn(), 0), 0, CopyFlags::empty())?, STATUS_OKAY);
    Ok(())
}

pub fn granted() -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    from.fill(0x42);
    grants::grant(50, own_id(), from.gfn(), true);
    grants::grant(51, own_id(), to.gfn(), false);
    let both = CopyFlags::SOURCE_GREF | CopyFlags::DEST_GREF;
    check_eq!(copy(gref(50, 0), gref(51, 8), 4000, both)?, STATUS_OKAY);
    check_eq!(to.get::<u64>(8), 0x4242_4242_4242_4242);
    check_eq!(to.get::<u64>(0), 0);
    check!(copy(gref(51, 0), gref(50, 0), 8, both)? < 0, "a read-only grant was written");
    check!(copy(gref(52, 0), gref(51, 0), 8, both)? < 0, "a reference that grants nothing");
    check!(copy(gref(1 << 24, 0), gref(51, 0), 8, both)? < 0, "a reference beyond the table");
    let used = EntryFlags::READING | EntryFlags::WRITING;
    check!(!grants::entry(50).flags.intersects(used) && !grants::entry(51).flags.intersects(used));
    grants::end(50);
    grants::end(51);
    Ok(())
}

pub fn bad_ranges() -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    let none = CopyFlags::empty();
    for (source, dest, len) in
        [(1, 0, 4096), (0, 1, 4096), (4095, 0, 2), (0, 4096, 1), (0xffff, 0, 1), (0, 0, 4097)]
    {
        let status = copy(end(from.gfn(), source), end(to.gfn(), dest), len, none)?;
        check_eq!(status, STATUS_BAD_COPY_ARG, "{len} bytes from {source} to {dest}");
    }
    for frame in [1 << 40, u64::MAX] {
        check!(copy(end(frame, 0), end(to.gfn(), 0), 8, none)? < 0, "frame {frame:#x}");
        check!(copy(end(from.gfn(), 0), end(frame, 0), 8, none)? < 0, "to frame {frame:#x}");
    }
    let mut op = job(end(from.gfn(), 0), end(to.gfn(), 0), 8, none);
    op.source.domid = 0x1234;
    call::grant(OP_COPY, &mut op)?;
    check!(op.status < 0, "status {}", op.status);
    Ok(())
}

/// More than one step of a call; each says how it went.
pub fn many() -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    for i in 0..64_u64 {
        from.set(i * 64, i);
    }
    let mut jobs: Vec<Copy> = (0..300_u16)
        .map(|i| job(end(from.gfn(), i % 64 * 64), end(to.gfn(), i % 64 * 64), 8, CopyFlags::empty()))
        .collect();
    jobs[150].len = 5000;
    call::grants(OP_COPY, &mut jobs)?;
    for (i, job) in jobs.iter().enumerate() {
        check_eq!(job.status, if i == 150 { STATUS_BAD_COPY_ARG } else { STATUS_OKAY }, "copy {i}");
    }
    for i in 0..64 {
        check_eq!(to.get::<u64>(i * 64), i);
    }
    Ok(())
}

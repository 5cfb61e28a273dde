//! What is refused, with which number, and that nothing has changed then.

use test_guests::abi::errno::Errno;
use test_guests::abi::grant_table::*;
use test_guests::abi::xen::*;
use test_guests::abi::{Handle64, Plain};
use test_guests::call::{self, refused};
use test_guests::paging::{self, NON_CANONICAL, PRESENT, Page, UNMAPPED, WRITABLE};
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq, grants};

use crate::mapping::{map, own_id, unmap};

const GREF: u32 = 80;
const USED: EntryFlags = EntryFlags::READING.union(EntryFlags::WRITING);

fn status_of(gref: u32, at: u64, flags: MapFlags) -> Result<i16, test_guests::suite::Verdict> {
    let mapped = map(gref, at, flags)?;
    let in_use = gref < 512 && grants::entry(gref).flags.intersects(USED);
    check!(!in_use || mapped.status == STATUS_OKAY, "in use");
    Ok(mapped.status)
}

fn set_entry(flags: EntryFlags, domid: u16, frame: u32) {
    grants::page().set(u64::from(GREF) * 8, EntryV1 { flags, domid, frame });
}

/// Entries that grant nothing, or to others.
pub fn entries() -> Outcome {
    let (page, place) = (Page::new(), Page::new());
    place.set(0, 9_u64);
    let frame = page.gfn() as u32;
    let access = EntryFlags::PERMIT_ACCESS;
    for (flags, domid, what) in [
        (EntryFlags::empty(), own_id(), "an empty entry"),
        (EntryFlags::ACCEPT_TRANSFER, own_id(), "a transfer"),
        (EntryFlags::TYPE_MASK, own_id(), "a transitive grant, which version 1 does not have"),
        (access, 0x1234, "a grant to somebody else"),
        (access, DOMID_SELF, "a grant to \"self\""),
        (access | EntryFlags::READONLY, own_id(), "a read-only grant"),
        (access | EntryFlags::SUB_PAGE, own_id(), "a part of a page"),
    ] {
        set_entry(flags, domid, frame);
        let status = status_of(GREF, place.address(), MapFlags::HOST_MAP)?;
        check_eq!(status, STATUS_GENERAL_ERROR, "{what}");
        check_eq!(grants::entry(GREF).flags, flags, "{what}");
    }
    grants::end(GREF);
    for gref in [512 * 1024, 1 << 30, u32::MAX] {
        check_eq!(status_of(gref, place.address(), MapFlags::HOST_MAP)?, STATUS_BAD_GNTREF, "{gref:#x}");
    }
    check_eq!(place.get::<u64>(0), 9);
    Ok(())
}

/// Requests that make no sense.
pub fn requests() -> Outcome {
    let (page, place) = (Page::new(), Page::new());
    grants::grant(GREF, own_id(), page.gfn(), false);
    check_eq!(status_of(GREF, place.address(), MapFlags::empty())?, STATUS_BAD_GNTREF);
    check_eq!(status_of(GREF, place.address(), MapFlags::READONLY)?, STATUS_BAD_GNTREF);
    let mut op = MapGrantRef::zeroed();
    (op.host_addr, op.flags, op.gref) = (place.address(), MapFlags::HOST_MAP, GREF);
    for dom in [0x1234, DOMID_IDLE, DOMID_INVALID, DOMID_IO, 0xffff] {
        (op.dom, op.status) = (dom, 1);
        call::grant(OP_MAP_GRANT_REF, &mut op)?;
        check_eq!(op.status, STATUS_BAD_DOMAIN, "domain {dom:#x}");
    }
    check!(!grants::entry(GREF).flags.intersects(USED));
    grants::end(GREF);
    Ok(())
}

/// Frames that are not the domain's memory.
pub fn frames() -> Outcome {
    let place = Page::new();
    let hole = boot_info::hole(1).unwrap_or(0xd000_0000) >> 12;
    for frame in [hole, 0xfee00, 0xffff_ffff, 0x7fff_ffff] {
        grants::grant(GREF, own_id(), frame, false);
        let status = status_of(GREF, place.address(), MapFlags::HOST_MAP)?;
        check!(status < 0, "frame {frame:#x} of a hole: status {status}");
        let mut op: Copy = Copy::zeroed();
        (op.source.u, op.source.domid) = (GREF.into(), own_id());
        (op.dest.u, op.dest.domid) = (place.gfn(), DOMID_SELF);
        (op.len, op.flags, op.status) = (8, CopyFlags::SOURCE_GREF, 1);
        call::grant(OP_COPY, &mut op)?;
        check!(op.status < 0, "copied from frame {frame:#x}: {}", op.status);
        check!(!grants::entry(GREF).flags.intersects(USED));
    }
    grants::end(GREF);
    check_eq!(place.get::<u64>(0), 0);
    Ok(())
}

/// Addresses at which nothing can be mapped.
pub fn addresses() -> Outcome {
    let page = Page::new();
    page.set(0, 5_u64);
    grants::grant(GREF, own_id(), page.gfn(), false);
    for address in [1 << 52, 1 << 56, !0xfff] {
        let status = status_of(GREF, address, MapFlags::HOST_MAP)?;
        check!(status < 0, "at {address:#x}: status {status}");
        check_eq!(page.get::<u64>(0), 5, "at {address:#x}");
    }
    grants::end(GREF);
    Ok(())
}

/// How many elements there are.
pub fn counts() -> Outcome {
    let page = Page::new();
    for op in [OP_MAP_GRANT_REF, OP_UNMAP_GRANT_REF, OP_COPY, OP_SWAP_GRANT_REF] {
        let many = |count: u64| call::any(HYPERCALL_GRANT_TABLE_OP, &[op.into(), page.address(), count]);
        check_eq!(many(0), Ok(0), "op {op}: none");
        for count in [0x8000_0000, 0xffff_ffff] {
            check_eq!(many(count), refused(Errno::EINVAL), "op {op}: {count:#x} elements");
        }
        let none = call::any(HYPERCALL_GRANT_TABLE_OP, &[op.into(), UNMAPPED, 0]);
        check!(none == Ok(0) || none == refused(Errno::EFAULT), "op {op}: {none:?}");
    }
    for op in [OP_SETUP_TABLE, OP_QUERY_SIZE, OP_GET_VERSION, OP_SET_VERSION] {
        let two = call::any(HYPERCALL_GRANT_TABLE_OP, &[op.into(), page.address(), 2]);
        check!(two.is_err(), "op {op} on two elements: {two:?}");
    }
    for op in [13, 63, 1000, u32::MAX] {
        let answer = call::any(HYPERCALL_GRANT_TABLE_OP, &[op.into(), page.address(), 1]);
        check_eq!(answer, refused(Errno::ENOSYS), "op {op}");
    }
    for op in [OP_TRANSFER, OP_UNMAP_AND_REPLACE] {
        page.fill(0);
        let answer = call::any(HYPERCALL_GRANT_TABLE_OP, &[op.into(), page.address(), 1]);
        let said = page.get::<i16>(12) < 0 || page.get::<i16>(20) < 0 || page.get::<i16>(14) < 0;
        check!(answer.is_err() || said, "op {op} with nothing that is there: {answer:?}");
    }
    Ok(())
}

/// Lists that end on a page that is not there: the elements before are done.
pub fn lists() -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    from.fill(0x5a);
    let size = size_of::<Copy>() as u64;
    let list = Page::new();
    let edge = paging::map(40, list.address(), PRESENT | WRITABLE) + 4096;
    paging::map(41, 0, 0);
    let mut op: Copy = Copy::zeroed();
    (op.source.u, op.source.domid) = (from.gfn(), DOMID_SELF);
    (op.dest.u, op.dest.domid, op.len, op.status) = (to.gfn(), DOMID_SELF, 16, 1);
    list.set(4096 - 2 * size, op);
    op.dest.offset = 64;
    list.set(4096 - size, op);
    let answer = call::any(HYPERCALL_GRANT_TABLE_OP, &[OP_COPY.into(), edge - 2 * size, 3]);
    check_eq!(answer, refused(Errno::EFAULT));
    check_eq!(list.get::<Copy>(4096 - 2 * size).status, STATUS_OKAY);
    check_eq!(list.get::<Copy>(4096 - size).status, STATUS_OKAY);
    check_eq!((to.get::<u64>(0), to.get::<u64>(64)), (0x5a5a_5a5a_5a5a_5a5a, 0x5a5a_5a5a_5a5a_5a5a));
    // Results that cannot be written.
    let readonly = paging::map(40, list.address(), PRESENT);
    let at = readonly + 4096 - size;
    check_eq!(call::any(HYPERCALL_GRANT_TABLE_OP, &[OP_COPY.into(), at, 1]), refused(Errno::EFAULT));
    for list in [UNMAPPED, NON_CANONICAL, u64::MAX - 8, 0xffff_ffff_ffff_f000] {
        let answer = call::any(HYPERCALL_GRANT_TABLE_OP, &[OP_COPY.into(), list, 0x7fff_ffff]);
        check_eq!(answer, refused(Errno::EFAULT), "a list at {list:#x}");
    }
    paging::map(40, 0, 0);
    Ok(())
}

pub fn versions() -> Outcome {
    let mut op = SetVersion { version: 1 };
    call::grant(OP_SET_VERSION, &mut op)?;
    check_eq!(op.version, 1);
    for version in [0, 3, u32::MAX] {
        op.version = version;
        check_eq!(call::grant(OP_SET_VERSION, &mut op), refused(Errno::EINVAL), "version {version}");
    }
    let mut op = GetVersion { dom: 0x1234, pad: 0, version: 77 };
    check!(call::grant(OP_GET_VERSION, &mut op).is_err());
    check_eq!(op.version, 77);
    let mut op: GetStatusFrames = GetStatusFrames::zeroed();
    (op.dom, op.nr_frames, op.status) = (DOMID_SELF, 1, 1);
    call::grant(OP_GET_STATUS_FRAMES, &mut op)?;
    check_eq!(op.status, STATUS_GENERAL_ERROR, "version 1 has no status frames");
    Ok(())
}

/// Growing the table: not without end, not somebody else's, and not into nowhere.
pub fn tables() -> Outcome {
    let mut size = QuerySize { dom: DOMID_SELF, ..QuerySize::zeroed() };
    call::grant(OP_QUERY_SIZE, &mut size)?;
    let most = size.max_nr_frames;
    let mut op: SetupTable = SetupTable::zeroed();
    for (dom, frames, list, what) in [
        (DOMID_SELF, most + 1, 0x1000, "too many frames"),
        (DOMID_SELF, u32::MAX, 0x1000, "far too many frames"),
        (0x1234, 1, 0x1000, "nobody's table"),
    ] {
        (op.dom, op.nr_frames, op.frame_list, op.status) = (dom, frames, Handle64::from_raw(list), 1);
        let answer = call::grant(OP_SETUP_TABLE, &mut op);
        check!(answer.is_err() || op.status < 0, "{what}: {answer:?}, status {}", op.status);
    }
    (op.dom, op.nr_frames, op.frame_list, op.status) = (DOMID_SELF, 1, Handle64::from_raw(UNMAPPED), 1);
    let answer = call::grant(OP_SETUP_TABLE, &mut op);
    check!(answer.is_err() || op.status < 0, "a list nowhere: {answer:?}, status {}", op.status);
    call::grant(OP_QUERY_SIZE, &mut size)?;
    check!(size.nr_frames <= most && size.max_nr_frames == most);
    Ok(())
}

/// Only of own memory and within a page.
pub fn cache_flushes() -> Outcome {
    let flush = |a: u64, offset: u16, length: u16, op: u32| {
        let op = CacheOps::from_bits_retain(op);
        call::grant(OP_CACHE_FLUSH, &mut CacheFlush { a, length, offset, op })
    };
    let own = Page::new().address();
    check_eq!(flush(own, 0, 0, 1), Ok(0), "no bytes");
    check_eq!(flush(own, 0, 64, 0), Ok(0), "no operation");
    check_eq!(flush(own, 0, 64, 1 << 31 | 1), refused(Errno::EOPNOTSUPP), "by reference");
    for (offset, length, op) in [(0, 4097, 1), (4096, 1, 1), (1, 4096, 2), (0xffff, 0xffff, 1), (0, 1, 4)] {
        check_eq!(flush(own, offset, length, op), refused(Errno::EINVAL), "{offset} {length} {op}");
    }
    for at in [1 << 51, !0xfff] {
        check!(flush(at, 0, 64, 1).is_err(), "of {at:#x}");
    }
    Ok(())
}

pub fn swaps() -> Outcome {
    let (page, place) = (Page::new(), Page::new());
    let swap = |ref_a: u32, ref_b: u32| {
        let mut op = SwapGrantRef { ref_a, ref_b, status: 1, _pad: [0; 2] };
        call::grant(OP_SWAP_GRANT_REF, &mut op).map(|_| op.status)
    };
    grants::grant(GREF, own_id(), page.gfn(), false);
    check_eq!(swap(GREF, GREF + 1), Ok(STATUS_OKAY));
    check_eq!(grants::entry(GREF).flags, EntryFlags::empty());
    check_eq!(u64::from(grants::entry(GREF + 1).frame), page.gfn());
    check_eq!(swap(GREF + 1, GREF), Ok(STATUS_OKAY));
    check_eq!(swap(GREF, GREF), Ok(STATUS_OKAY));
    for bad in [1 << 24, u32::MAX] {
        check_eq!(swap(GREF, bad), Ok(STATUS_BAD_GNTREF));
        check_eq!(swap(bad, GREF), Ok(STATUS_BAD_GNTREF));
    }
    let mapped = map(GREF, place.address(), MapFlags::HOST_MAP)?;
    if mapped.status == STATUS_OKAY {
        check_eq!(swap(GREF, GREF + 1), Ok(STATUS_EAGAIN), "one in use");
        check_eq!(unmap(place.address(), mapped.handle)?, STATUS_OKAY);
    }
    grants::end(GREF);
    Ok(())
}

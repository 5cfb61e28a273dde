//! The grant table, and mapping what it grants: to oneself, which is all that one domain can try.

use test_guests::abi::Handle64;
use test_guests::abi::errno::Errno;
use test_guests::abi::grant_table::*;
use test_guests::abi::plain::Plain;
use test_guests::abi::xen::*;
use test_guests::call::{self, refused};
use test_guests::paging::Page;
use test_guests::suite::{self, Outcome};
use test_guests::{boot_info, check, check_eq, cpu, grants};

const GREF: u32 = 40;

/// The own domain's number: a grant names a domain, not "self".
pub fn own_id() -> u16 {
    let base = test_guests::abi::guest::cpuid_base().unwrap_or_default();
    cpu::cpuid(base + 4, 0).ecx as u16
}

pub fn map(gref: u32, host_addr: u64, flags: MapFlags) -> Result<MapGrantRef, suite::Verdict> {
    let mut op = MapGrantRef { host_addr, flags, gref, dom: own_id(), status: 1, handle: 0, dev_bus_addr: 0 };
    call::grant(OP_MAP_GRANT_REF, &mut op)?;
    Ok(op)
}

pub fn unmap(host_addr: u64, handle: u32) -> Result<i16, suite::Verdict> {
    let mut op = UnmapGrantRef { host_addr, dev_bus_addr: 0, handle, status: 1, _pad: [0; 2] };
    call::grant(OP_UNMAP_GRANT_REF, &mut op)?;
    Ok(op.status)
}

pub fn sizes() -> Outcome {
    grants::page();
    let mut op = QuerySize { dom: DOMID_SELF, ..QuerySize::zeroed() };
    call::grant(OP_QUERY_SIZE, &mut op)?;
    check_eq!(op.status, STATUS_OKAY);
    check!(op.nr_frames >= 1 && op.nr_frames <= op.max_nr_frames, "{op:?}");
    let mut op = QuerySize { dom: 0x1234, ..QuerySize::zeroed() };
    call::grant(OP_QUERY_SIZE, &mut op)?;
    let not_its_controller = op.status == STATUS_PERMISSION_DENIED && !boot_info::is_dom0();
    check!(op.status == STATUS_BAD_DOMAIN || not_its_controller, "{op:?}");
    let mut op = GetVersion { dom: DOMID_SELF, pad: 0, version: 0 };
    call::grant(OP_GET_VERSION, &mut op)?;
    check_eq!(op.version, 1);
    Ok(())
}

pub fn set_up() -> Outcome {
    let frames = [0_u64; 4];
    let mut op: SetupTable = SetupTable::zeroed();
    (op.dom, op.nr_frames, op.frame_list) = (DOMID_SELF, 4, Handle64::to(frames.as_ptr()));
    call::grant(OP_SETUP_TABLE, &mut op)?;
    check_eq!(op.status, STATUS_OKAY);
    (op.nr_frames, op.status) = (1 << 30, 1);
    let answer = call::grant(OP_SETUP_TABLE, &mut op);
    check!(answer.is_err() || op.status < 0, "{answer:?}, status {}", op.status);
    Ok(())
}

/// The mapping shows the granted page, and the entry says that it is in use. Whether an own page stays where it was,
/// too, is not for sure: on Xen it moves to where it is mapped.
pub fn map_and_unmap() -> Outcome {
    let (page, place) = (Page::new(), Page::new());
    page.set(0, 0xcafe_u64);
    grants::grant(GREF, own_id(), page.gfn(), false);
    let mapped = map(GREF, place.address(), MapFlags::HOST_MAP)?;
    if mapped.status == STATUS_GENERAL_ERROR || mapped.status == STATUS_PERMISSION_DENIED {
        grants::end(GREF);
        return suite::skip("own grants cannot be mapped here");
    }
    check_eq!(mapped.status, STATUS_OKAY);
    check_eq!(place.get::<u64>(0), 0xcafe);
    place.set(0, 0xbeef_u64);
    check_eq!(place.get::<u64>(0), 0xbeef);
    let used = EntryFlags::READING | EntryFlags::WRITING;
    check!(grants::entry(GREF).flags.contains(used), "{:?}", grants::entry(GREF).flags);
    check_eq!(unmap(place.address(), mapped.handle)?, STATUS_OKAY);
    check!(!grants::entry(GREF).flags.intersects(used));
    check_eq!(place.get::<u64>(0), u64::MAX, "nothing is there now");
    check_eq!(unmap(place.address(), mapped.handle)?, STATUS_BAD_HANDLE, "unmapped twice");
    grants::end(GREF);
    Ok(())
}

pub fn read_only() -> Outcome {
    let (page, place) = (Page::new(), Page::new());
    page.set(0, 0xcafe_u64);
    grants::grant(GREF, own_id(), page.gfn(), true);
    let refused = map(GREF, place.address(), MapFlags::HOST_MAP)?;
    check!(refused.status < 0, "a read-only grant mapped for writing");
    let mapped = map(GREF, place.address(), MapFlags::HOST_MAP | MapFlags::READONLY)?;
    if mapped.status != STATUS_OKAY {
        grants::end(GREF);
        return suite::skip("own grants cannot be mapped here");
    }
    check_eq!(place.get::<u64>(0), 0xcafe);
    check!(!grants::entry(GREF).flags.contains(EntryFlags::WRITING));
    check_eq!(unmap(place.address(), mapped.handle)?, STATUS_OKAY);
    grants::end(GREF);
    Ok(())
}

pub fn bad_references() -> Outcome {
    let place = Page::new();
    place.set(0, 7_u64);
    for gref in [GREF + 1, 400, 1 << 20, u32::MAX] {
        let mapped = map(gref, place.address(), MapFlags::HOST_MAP)?;
        check!(mapped.status < 0, "reference {gref}: status {}", mapped.status);
    }
    let mut op = MapGrantRef::zeroed();
    (op.host_addr, op.flags, op.dom) = (place.address(), MapFlags::HOST_MAP, 0x1234);
    call::grant(OP_MAP_GRANT_REF, &mut op)?;
    check_eq!(op.status, STATUS_BAD_DOMAIN);
    check_eq!(place.get::<u64>(0), 7, "what was there is still there");
    check_eq!(call::any(HYPERCALL_GRANT_TABLE_OP, &[63, place.address(), 1]), refused(Errno::ENOSYS));
    Ok(())
}

pub fn bad_handles() -> Outcome {
    for handle in [12_345, 1 << 31, u32::MAX] {
        let status = unmap(Page::new().address(), handle)?;
        check!(status < 0, "handle {handle:#x}: status {status}");
    }
    Ok(())
}

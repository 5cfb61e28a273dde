//! Mapping and copying: what is done for those who may, and said to those who may not.

use std::vec::Vec;

use hypercall_abi::abi::{Abi, X32, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::grant_table as abi;
use hypercall_abi::grant_table::{EntryFlags, MapFlags};
use hypercall_abi::plain::Plain;

use super::{End, copy, grant, grant_with, guest, id, in_use, logged, peek, poke};
use crate::frame::Gfn;
use crate::gnttab::Handle;
use crate::guest_cpu::CpuMode;
use crate::hypercall::tests::rig::{Rig, no};
use crate::p2m::{Access, PageType};

/// A guest frame with nothing behind it.
const HOLE: u64 = 0x1000;

#[test]
fn a_mapped_page_is_shared_until_it_is_unmapped() {
    let rig = Rig::new();
    let guest = guest(&rig);
    grant(&guest, 8, 0, 20);
    let got = rig.map_with(&rig.control, id(&guest), 8, HOLE, MapFlags::HOST_MAP);
    let machine_frame = guest.domain().memory.lookup(Gfn(20)).unwrap().mfn;
    assert_eq!((got.status, got.dev_bus_addr), (0, machine_frame.addr().0));
    assert!(in_use(&guest, 8));
    poke(&rig.control, HOLE, &0x1234u64);
    assert_eq!(peek::<u64>(&guest, 20), 0x1234);
    // Nothing but unmapping ends it.
    assert_eq!(rig.remove(&rig.control, HOLE), no(Errno::ENOENT));
    assert_eq!(rig.unmap(&rig.control, got.handle, HOLE + 1), abi::STATUS_BAD_VIRT_ADDR);
    assert_eq!(rig.unmap(&rig.control, got.handle + 1, HOLE), abi::STATUS_BAD_HANDLE);
    assert_eq!(rig.unmap(&rig.control, got.handle, HOLE), abi::STATUS_OKAY);
    assert_eq!(rig.control.domain().memory.lookup(Gfn(HOLE)), None);
    assert!(!in_use(&guest, 8));
    assert_eq!(rig.unmap(&rig.control, got.handle, HOLE), abi::STATUS_BAD_HANDLE);
}

#[test]
fn a_read_only_grant_is_mapped_to_read_only() {
    let rig = Rig::new();
    let guest = guest(&rig);
    grant_with(&guest, 8, 0, 20, EntryFlags::PERMIT_ACCESS | EntryFlags::READONLY);
    assert_eq!(rig.map(&rig.control, id(&guest), 8, HOLE), Err(abi::STATUS_GENERAL_ERROR));
    let flags = MapFlags::HOST_MAP | MapFlags::READONLY;
    assert_eq!(rig.map_with(&rig.control, id(&guest), 8, HOLE, flags).status, 0);
    let entry = rig.control.domain().memory.lookup(Gfn(HOLE)).unwrap();
    assert_eq!((entry.kind, entry.access), (PageType::GrantMapped, Access::READ));
    assert!(!entry.access.write && !entry.access.execute);
}

#[test]
fn what_is_not_granted_is_not_mapped() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let dom = id(&guest);
    grant(&guest, 8, 7, 20);
    grant(&guest, 9, 0, HOLE + 1);
    grant(&guest, 10, 0, HOLE);
    assert_eq!(rig.place_table(&guest, 0, HOLE), 0);
    for (from, gref, status) in [
        (dom, 8, abi::STATUS_GENERAL_ERROR),
        // A hole, and a page of Tenon's own.
        (dom, 9, abi::STATUS_BAD_PAGE),
        (dom, 10, abi::STATUS_BAD_PAGE),
        (dom, 511, abi::STATUS_GENERAL_ERROR),
        (dom, 512, abi::STATUS_BAD_GNTREF),
        (dom, u32::MAX, abi::STATUS_BAD_GNTREF),
        (77, 8, abi::STATUS_BAD_DOMAIN),
        (0x7ff4, 8, abi::STATUS_BAD_DOMAIN),
    ] {
        assert_eq!(rig.map(&rig.control, from, gref, HOLE), Err(status), "grant {gref} of d{from}");
    }
    grant(&guest, 8, 0, 20);
    assert_eq!(rig.map(&rig.control, dom, 8, 1 << 50), Err(abi::STATUS_BAD_VIRT_ADDR));
    let device = MapFlags::DEVICE_MAP | MapFlags::HOST_MAP;
    assert_eq!(rig.map_with(&rig.control, dom, 8, HOLE, device).status, abi::STATUS_GENERAL_ERROR);
    assert!((8..11).all(|gref| !in_use(&guest, gref)));
    let maps = rig.control.domain().maptrack.lock();
    assert!((0..64).all(|handle| maps.get(Handle(handle)).is_err()));
}

#[test]
fn a_mapping_takes_the_place_of_what_was_there() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let control = &rig.control;
    (8..10).for_each(|gref| grant(&guest, gref, 0, u64::from(gref)));
    let frames = control.domain().memory.frames();
    let over_ram = rig.map(control, id(&guest), 8, 30).unwrap();
    assert_eq!(control.domain().memory.frames(), frames - 1, "the page that was there is free");
    let over_grant = rig.map(control, id(&guest), 9, 30).unwrap();
    // The first is out of reach, but in use until its handle goes; that leaves the second alone.
    assert!(in_use(&guest, 8));
    assert_eq!(rig.unmap(control, over_ram, 30), 0);
    assert!(!in_use(&guest, 8));
    poke(control, 30, &5u32);
    assert_eq!(peek::<u32>(&guest, 9), 5);
    assert_eq!(rig.unmap(control, over_grant, 30), 0);
    assert_eq!(control.domain().memory.lookup(Gfn(30)), None);
}

#[test]
fn long_arrays_are_done_whole() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let count = 80u32;
    (0..count).for_each(|gref| grant(&guest, gref, 0, u64::from(gref)));
    let maps: Vec<_> = (0..count)
        .map(|gref| abi::MapGrantRef {
            host_addr: (HOLE + u64::from(gref)) << 12,
            flags: MapFlags::HOST_MAP,
            gref,
            dom: id(&guest),
            ..Plain::zeroed()
        })
        .collect();
    let (result, maps) = rig.grant_ops(&rig.control, abi::OP_MAP_GRANT_REF, &maps);
    assert!(result == 0 && maps.iter().all(|map| map.status == 0));
    let unmap = |map: &abi::MapGrantRef| abi::UnmapGrantRef {
        host_addr: map.host_addr,
        handle: map.handle,
        ..Plain::zeroed()
    };
    let mut unmaps: Vec<_> = maps.iter().map(unmap).collect();
    // Nobody unmaps twice, not even in one step; a zero address asks for nothing.
    unmaps.insert(1, unmaps[0]);
    unmaps.insert(2, abi::UnmapGrantRef { handle: 99, ..Plain::zeroed() });
    let (result, unmaps) = rig.grant_ops(&rig.control, abi::OP_UNMAP_GRANT_REF, &unmaps);
    assert_eq!((result, unmaps[1].status), (0, abi::STATUS_BAD_HANDLE));
    assert!(unmaps.iter().enumerate().all(|(i, unmap)| i == 1 || unmap.status == 0));
    assert!((0..count).all(|gref| !in_use(&guest, gref)));
}

#[test]
fn handles_run_out_by_name() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let max = 4 * 256;
    grant(&guest, 8, 0, 20);
    let map = |i: u32| rig.map(&rig.control, id(&guest), 8, HOLE + u64::from(i));
    let handles: Vec<u32> = (0..max).map(|i| map(i).unwrap()).collect();
    rig.machine.advance(1_000_000_000);
    assert_eq!(map(max), Err(abi::STATUS_NO_SPACE));
    assert!(logged(&rig, "all 1024 grant handles"));
    assert_eq!(rig.unmap(&rig.control, handles[77], HOLE + 77), 0);
    assert!(map(max).is_ok());
}

#[test]
fn an_own_page_takes_the_place_of_a_mapping() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let other = super::guest(&rig);
    (8..10).for_each(|gref| grant(&guest, gref, id(&other), u64::from(gref)));
    let map = |gref: u32| rig.map(&other, id(&guest), gref, HOLE + u64::from(gref)).unwrap();
    let (first, second) = (map(8), map(9));
    let replace = |handle: u32, at: u64, by: u64| {
        let op = abi::UnmapAndReplace { host_addr: at << 12, new_addr: by << 12, handle, ..Plain::zeroed() };
        rig.grant_op(&other, abi::OP_UNMAP_AND_REPLACE, op).status
    };
    poke(&other, 30, &0x77u32);
    assert_eq!(replace(77, HOLE + 8, 30), abi::STATUS_BAD_HANDLE);
    assert_eq!(replace(first, HOLE + 9, 30), abi::STATUS_BAD_VIRT_ADDR);
    // Neither nothing nor a page of somebody else's can be put there.
    assert_eq!(replace(first, HOLE + 8, HOLE), abi::STATUS_BAD_PAGE);
    assert_eq!(replace(first, HOLE + 8, HOLE + 9), abi::STATUS_BAD_PAGE);
    assert!(in_use(&guest, 8) && in_use(&guest, 9));
    assert_eq!(replace(first, HOLE + 8, 30), 0);
    assert!(!in_use(&guest, 8));
    assert_eq!((peek::<u32>(&other, HOLE + 8), other.domain().memory.lookup(Gfn(30))), (0x77, None));
    assert_eq!(replace(second, HOLE + 9, 0), 0);
    assert_eq!(other.domain().memory.lookup(Gfn(HOLE + 9)), None);
}

fn copies<A: Abi>(mode: CpuMode) {
    let rig = Rig::new();
    let guest = guest(&rig);
    let (control, dom) = (&rig.control, id(&guest));
    control.run_in(mode);
    grant(&guest, 8, 0, 20);
    grant_with(&guest, 9, 0, 21, EntryFlags::PERMIT_ACCESS | EntryFlags::READONLY);
    poke(&guest, 20, &[0, 0x1122_3344_5566_7788u64]);
    let ops = [
        copy::<A>((End::Of(dom, 8), 8), (End::Own(40), 0), 8),
        copy::<A>((End::Own(40), 0), (End::Own(41), 4088), 8),
        copy::<A>((End::Own(41), 4088), (End::Of(dom, 8), 0), 4),
        copy::<A>((End::Own(41), 0), (End::Of(dom, 9), 0), 4),
        copy::<A>((End::Own(HOLE), 0), (End::Own(41), 0), 4),
        copy::<A>((End::Own(41), 4090), (End::Own(40), 0), 8),
        copy::<A>((End::Of(dom, 8), 0), (End::Own(HOLE), 0), 1),
    ];
    let (result, done) = rig.grant_ops(control, abi::OP_COPY, &ops);
    let statuses: Vec<i16> = done.iter().map(|op| op.status).collect();
    let (page, arg) = (abi::STATUS_BAD_PAGE, abi::STATUS_BAD_COPY_ARG);
    assert_eq!((result, &statuses[..]), (0, &[0, 0, 0, abi::STATUS_GENERAL_ERROR, page, arg, page][..]));
    assert_eq!(control.get::<u64>((41 << 12) + 4088), 0x1122_3344_5566_7788);
    assert_eq!(peek::<u64>(&guest, 20), 0x5566_7788);
    assert!(!in_use(&guest, 8) && !in_use(&guest, 9));
}

#[test]
fn bytes_are_copied_between_domains_in_both_layouts() {
    copies::<X64>(CpuMode::Bits64);
    copies::<X32>(CpuMode::Bits32);
}

#[test]
fn a_mapped_page_is_no_end_of_a_copy() {
    // It could be unmapped while the copy runs; backends name the grant instead.
    let rig = Rig::new();
    let guest = guest(&rig);
    grant(&guest, 8, 0, 20);
    rig.map(&rig.control, id(&guest), 8, HOLE).unwrap();
    let op = copy::<X64>((End::Own(HOLE), 0), (End::Own(40), 0), 8);
    assert_eq!(rig.grant_op(&rig.control, abi::OP_COPY, op).status, abi::STATUS_BAD_PAGE);
}

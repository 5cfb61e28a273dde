use hypercall_abi::abi::{Abi, Handle64, Word, X32, X64};
use hypercall_abi::domctl::{self, GetDomainInfo, MaxMem};
use hypercall_abi::errno::Errno;
use hypercall_abi::memory::*;
use hypercall_abi::start_info::MEMMAP_TYPE_RAM;
use hypercall_abi::sysctl::{self, PhysInfo};
use hypercall_abi::xen as nr;
use hypercall_abi::xen::DOMID_SELF;
use std::vec::Vec;

use super::rig::*;
use crate::frame::Gfn;
use crate::frames::Frames;
use crate::guest_cpu::CpuMode;
use crate::hypercall::memory::e820;
use crate::p2m::{Access, P2mError, PageType};

const CALL: u32 = nr::HYPERCALL_MEMORY_OP;

fn change<A: Abi>(rig: &Rig, who: &Caller, op: u32, domid: u16, order: u32, gfns: &[u64]) -> i64 {
    let list: Vec<A::Ulong> = gfns.iter().map(|gfn| A::Ulong::truncated(*gfn)).collect();
    let mut reservation = Reservation::<A> {
        extent_start: A::Handle::truncated(who.put_all(&list)),
        nr_extents: A::Ulong::truncated(gfns.len() as u64),
        extent_order: order,
        domid,
        ..Reservation::default()
    };
    rig.op(who, CALL, op, &mut reservation)
}

#[test]
fn ballooning_in_both_layouts() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let gfns: Vec<u64> = (0x180..0x1e0).collect();
    assert_eq!(change::<X64>(&rig, &guest, DECREASE_RESERVATION, DOMID_SELF, 0, &gfns), 0x60);
    assert_eq!(guest.domain().memory.frames(), 512 - 0x60);
    guest.run_in(CpuMode::Bits32);
    assert_eq!(change::<X32>(&rig, &guest, POPULATE_PHYSMAP, DOMID_SELF, 0, &gfns), 0x60);
    assert_eq!(guest.domain().memory.frames(), 512);
    assert_eq!(change::<X32>(&rig, &guest, POPULATE_PHYSMAP, DOMID_SELF, 0, &gfns), 0, "all there");
}

#[test]
fn the_limit_stops_in_the_middle() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let gfns: Vec<u64> = (0x1000..0x1000 + 600).collect();
    assert_eq!(change::<X64>(&rig, &guest, POPULATE_PHYSMAP, DOMID_SELF, 0, &gfns), 512, "twice its RAM");
    assert_eq!(guest.domain().memory.frames(), 1024);
    assert_eq!(change::<X64>(&rig, &guest, POPULATE_PHYSMAP, DOMID_SELF, 9, &[0x2000]), 0);
    for (gfn, order) in [(u64::MAX, 0), (1 << 52, 0), (0x2001, 9), (0x4000, 18), (0, u32::MAX)] {
        assert_eq!(change::<X64>(&rig, &guest, POPULATE_PHYSMAP, DOMID_SELF, order, &[gfn]), 0);
        assert!(change::<X64>(&rig, &guest, DECREASE_RESERVATION, DOMID_SELF, order, &[gfn]) <= 0);
    }
}

#[test]
fn a_run_is_given_back_up_to_the_first_hole() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let frames = || guest.domain().memory.frames();
    assert_eq!(change::<X64>(&rig, &guest, POPULATE_PHYSMAP, DOMID_SELF, 9, &[0x1000]), 1);
    assert_eq!(change::<X64>(&rig, &guest, DECREASE_RESERVATION, DOMID_SELF, 0, &[0x1000 + 300]), 1);
    assert_eq!(change::<X64>(&rig, &guest, DECREASE_RESERVATION, DOMID_SELF, 9, &[0x1000]), 0);
    assert_eq!(frames(), 512 + 211);
    assert_eq!(change::<X64>(&rig, &guest, DECREASE_RESERVATION, DOMID_SELF, 0, &[0x1000 + 301]), 1);
}

#[test]
fn nothing_is_mapped_into_a_dying_domain() {
    let rig = Rig::new();
    rig.destroy(rig.create(1));
    let before = rig.holdings();
    let guest = rig.guest(1);
    let domain = guest.domain().clone();
    let page = domain.memory.own_page(Gfn(7)).unwrap();
    let _unfinished = rig.hv.destroy_step(&domain);
    while domain.memory.lookup(Gfn(0)).is_some() {
        let _unfinished = rig.hv.destroy_step(&domain);
    }
    let (error, page) = domain.memory.map(Gfn(0), page, PageType::Ram, Access::ALL, || ()).unwrap_err();
    assert_eq!(error, P2mError::Closed);
    drop((page, domain));
    rig.destroy(guest.domain().id.0);
    drop(guest);
    rig.hv.bury_the_dead();
    assert_eq!(rig.holdings(), before);
}

#[test]
fn runs_of_any_length() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    for order in 1..9 {
        let gfn = 0x1000 << order;
        assert_eq!(change::<X64>(&rig, &guest, POPULATE_PHYSMAP, DOMID_SELF, order, &[gfn]), 1, "{order}");
        assert_eq!(guest.domain().memory.frames(), 512 + (1 << order));
        let first = guest.domain().memory.lookup(Gfn(gfn)).unwrap().mfn;
        let last = guest.domain().memory.lookup(Gfn(gfn + (1 << order) - 1)).unwrap().mfn;
        assert_eq!(last.0 - first.0, (1 << order) - 1);
        assert_eq!(change::<X64>(&rig, &guest, DECREASE_RESERVATION, DOMID_SELF, order, &[gfn]), 1);
        assert_eq!(guest.domain().memory.frames(), 512);
    }
}

#[test]
fn more_extents_than_can_be_counted() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let mut all = Reservation::<X64> {
        extent_start: Handle64::from_raw(guest.put(&0x180_u64)),
        nr_extents: 1 << 26,
        domid: DOMID_SELF,
        ..Reservation::default()
    };
    assert_eq!(rig.op(&guest, CALL, DECREASE_RESERVATION, &mut all), 0);
    assert_eq!(guest.domain().memory.frames(), 512);
}

#[test]
fn others_memory_is_not_the_guests() {
    let rig = Rig::new();
    let (one, two) = (rig.guest(1), rig.guest(1));
    let other = two.domain().id.0;
    assert_eq!(change::<X64>(&rig, &one, DECREASE_RESERVATION, other, 0, &[5]), no(Errno::EPERM));
    assert_eq!(change::<X64>(&rig, &rig.control, DECREASE_RESERVATION, 99, 0, &[5]), no(Errno::ESRCH));
    let mut add = AddToPhysmap::<X64> {
        domid: other,
        space: MAPSPACE_GMFN_FOREIGN,
        idx: 5,
        gpfn: 0x1000,
        ..AddToPhysmap::default()
    };
    assert_eq!(rig.op(&one, CALL, ADD_TO_PHYSMAP, &mut add), no(Errno::EPERM));
    let mut map = ForeignMemoryMap::<X64> { domid: other, ..ForeignMemoryMap::default() };
    assert_eq!(rig.op(&one, CALL, SET_MEMORY_MAP, &mut map), no(Errno::EPERM));
    assert_eq!(rig.op(&one, CALL, MACHINE_MEMORY_MAP, &mut MemoryMap::<X64>::default()), no(Errno::EPERM));
    assert_eq!(rig.op(&one, CALL, CURRENT_RESERVATION, &mut MemoryDomain { domid: other }), no(Errno::EPERM));
}

#[test]
fn the_control_domain_maps_and_unmaps_foreign_memory() {
    let rig = Rig::new();
    rig.destroy(rig.create(1));
    let before = rig.holdings();
    let guest = rig.guest(1);
    let id = guest.domain().id.0;
    guest.write(0x5000, b"hello");
    let batch = |idxs: &[u64], gpfns: &[u64]| {
        let errors = rig.control.put_all(&[7i32; 64][..idxs.len()]);
        let mut batch = AddToPhysmapBatch::<X64> {
            domid: DOMID_SELF,
            space: MAPSPACE_GMFN_FOREIGN as u16,
            size: idxs.len() as u16,
            foreign_domid: id,
            idxs: Handle64::from_raw(rig.control.put_all(idxs)),
            gpfns: Handle64::from_raw(rig.control.put_all(gpfns)),
            errs: Handle64::from_raw(errors),
        };
        assert_eq!(rig.op(&rig.control, CALL, ADD_TO_PHYSMAP_BATCH, &mut batch), 0);
        rig.control.get_all::<i32>(errors, idxs.len())
    };
    assert_eq!(batch(&[5, 0x7777, 6], &[0x4000, 0x4001, 0x4002]), [0, -14, 0]);
    assert_eq!(rig.control.get::<[u8; 5]>(0x4000 << 12), *b"hello");
    let entry = rig.control.domain().memory.lookup(Gfn(0x4002)).unwrap();
    assert_eq!(entry.kind, PageType::Foreign);
    drop(guest);
    rig.destroy(id);
    assert!(rig.hv.domain(crate::ids::DomId(id)).is_some(), "two of its pages are still mapped");
    assert_eq!(rig.control.get::<[u8; 5]>(0x4000 << 12), *b"hello");
    for gpfn in [0x4000, 0x4002] {
        let mut remove = RemoveFromPhysmap::<X64> { domid: DOMID_SELF, gpfn, ..RemoveFromPhysmap::default() };
        assert_eq!(rig.op(&rig.control, CALL, REMOVE_FROM_PHYSMAP, &mut remove), 0);
        assert_eq!(rig.op(&rig.control, CALL, REMOVE_FROM_PHYSMAP, &mut remove), no(Errno::ENOENT));
    }
    rig.hv.bury_the_dead();
    assert_eq!(rig.holdings(), before);
}

#[test]
fn shared_info_is_mapped_and_moved() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let add = |space, idx, gpfn| {
        let mut add = AddToPhysmap::<X64> { domid: DOMID_SELF, space, idx, gpfn, ..AddToPhysmap::default() };
        rig.op(&guest, CALL, ADD_TO_PHYSMAP, &mut add)
    };
    assert_eq!(add(MAPSPACE_SHARED_INFO, 0, 0x1000), 0);
    let shared = guest.domain().shared_info.mfn();
    assert_eq!(guest.domain().memory.lookup(Gfn(0x1000)).map(|entry| entry.mfn), Some(shared));
    assert_eq!(add(MAPSPACE_SHARED_INFO, 1, 0x1001), no(Errno::EINVAL));
    assert_eq!(add(MAPSPACE_GMFN, 0x1000, 0x1002), 0);
    assert_eq!(guest.domain().memory.lookup(Gfn(0x1002)).map(|entry| entry.mfn), Some(shared));
    assert!(guest.domain().memory.lookup(Gfn(0x1000)).is_none());
    assert_eq!(add(77, 0, 0x1001), no(Errno::EINVAL));
    assert_eq!(add(MAPSPACE_SHARED_INFO, 0, 1 << 60), no(Errno::EINVAL));
}

#[test]
fn maps_and_sizes() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let id = guest.domain().id.0;
    let own = rig.op(&guest, CALL, MEMORY_MAP, &mut MemoryMap::<X64>::default());
    assert_eq!(own, no(Errno::ENOSYS), "none was set");
    let entries = [e820(0, 0x9f000, MEMMAP_TYPE_RAM), e820(0x10_0000, 0x10_0000, MEMMAP_TYPE_RAM)];
    let set = |nr_entries| {
        let buffer = Handle64::from_raw(rig.control.put_all(&entries));
        let map = MemoryMap { nr_entries, buffer, ..MemoryMap::default() };
        rig.op(
            &rig.control,
            CALL,
            SET_MEMORY_MAP,
            &mut ForeignMemoryMap::<X64> { domid: id, map, ..ForeignMemoryMap::default() },
        )
    };
    assert_eq!([set(2), set(129)], [0, no(Errno::EINVAL)]);
    let mut map = MemoryMap::<X64> {
        nr_entries: 8,
        buffer: Handle64::from_raw(guest.room(256)),
        ..MemoryMap::default()
    };
    assert_eq!(rig.op(&guest, CALL, MEMORY_MAP, &mut map), 0);
    assert_eq!(guest.get_all::<E820Entry>(map.buffer.raw(), map.nr_entries as usize), entries);

    let ask = |op, domid| rig.op(&rig.control, CALL, op, &mut MemoryDomain { domid });
    assert_eq!([ask(CURRENT_RESERVATION, id), ask(MAXIMUM_RESERVATION, id)], [512, 1024]);
    assert_eq!(ask(MAXIMUM_GPFN, id), 511);
    assert_eq!(rig.call(&guest, CALL, &[MAXIMUM_RAM_PAGE.into()]), RAM as i64 - 1);
    assert_eq!(rig.call(&guest, CALL, &[GET_SHARING_FREED_PAGES.into()]), no(Errno::ENOSYS));
    let mut map = MemoryMap::<X64> {
        nr_entries: 8,
        buffer: Handle64::from_raw(rig.control.room(256)),
        ..MemoryMap::default()
    };
    assert_eq!(rig.op(&rig.control, CALL, MACHINE_MEMORY_MAP, &mut map), 0);
    assert_eq!(map.nr_entries, 1);
}

#[test]
fn a_claim_sets_memory_aside_until_it_is_used_or_ended() {
    let rig = Rig::new();
    let (guest, other) = (rig.guest(1), rig.guest(1));
    let (id, free) = (guest.domain().id.0, rig.machine.table().free_frames());
    let claim_by = |who: &Caller, domid, frames: u64, extent_order| {
        let mut claim =
            Reservation::<X64> { nr_extents: frames, domid, extent_order, ..Reservation::default() };
        rig.op(who, CALL, CLAIM_PAGES, &mut claim)
    };
    let claim = |frames| claim_by(&rig.control, id, frames, 0);
    let outstanding = || {
        let info: GetDomainInfo = rig.ctl(domctl::GETDOMAININFO, id, GetDomainInfo::default()).unwrap();
        let host: PhysInfo = rig.sysctl(sysctl::PHYSINFO, PhysInfo::default()).unwrap();
        (info.outstanding_pages, host.outstanding_pages)
    };
    assert_eq!(claim_by(&other, id, 600, 0), no(Errno::EPERM));
    assert_eq!(claim_by(&rig.control, 77, 600, 0), no(Errno::ESRCH));
    assert_eq!(claim_by(&rig.control, id, 1, 9), no(Errno::EINVAL));
    assert_eq!(claim(1025), no(Errno::EINVAL), "more than it may have");
    let by = |who: &Caller, gfns: std::ops::Range<u64>| {
        change::<X64>(&rig, who, POPULATE_PHYSMAP, DOMID_SELF, 0, &gfns.collect::<Vec<_>>())
    };
    // What it has counts: the rest is set aside, and goes as it is used.
    assert_eq!((claim(712), outstanding()), (0, (200, 200)));
    assert_eq!((by(&guest, 0x1000..0x1064), outstanding()), (100, (100, 100)));
    assert_eq!(rig.machine.table().free_frames(), free - 100);
    // Nobody else gets it.
    let spare = rig.machine.table().free_frames() - 100;
    rig.ctl(domctl::MAX_MEM, other.domain().id.0, MaxMem { max_memkb: 1 << 30 }).unwrap();
    let got = by(&other, 0x1000..0x1000 + spare + 50) as u64;
    assert!((spare - 16..=spare).contains(&got), "{got} of {spare}; page tables need some");
    assert_eq!(claim(1024), no(Errno::ENOMEM), "there is not so much");
    assert_eq!(outstanding(), (0, 0), "refused, it has none");
    assert!(by(&other, 0x4000..0x4010) > 0, "the rest is for all");
    assert_eq!(claim(650), 0);
    drop(guest);
    rig.destroy(id);
    assert_eq!(rig.machine.table().claimed(None), 0, "a claim dies with its domain");
}

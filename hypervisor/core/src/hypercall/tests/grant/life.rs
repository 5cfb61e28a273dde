//! Grants and the ends of domains: whoever goes first, nothing is lost and nothing is kept.

use std::vec::Vec;

use hypercall_abi::abi::{Handle64, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::grant_table as abi;
use hypercall_abi::memory as mem;
use hypercall_abi::plain::Plain;
use hypercall_abi::tenon;
use hypercall_abi::xen as nr;

use super::{End, copy, destroy, grant, guest, id, in_use, peek, poke};
use crate::frame::Gfn;
use crate::hypercall::tests::rig::{Caller, Rig, no};
use crate::ids::DomId;
use crate::p2m::PageType;
use crate::p2m::Progress;

/// A guest frame with nothing behind it.
const HOLE: u64 = 0x1000;

#[test]
fn a_page_outlives_its_granter_while_it_is_mapped() {
    let rig = Rig::new();
    let before = rig.holdings();
    let guest = guest(&rig);
    let dom = id(&guest);
    grant(&guest, 8, 0, 20);
    poke(&guest, 20, &77u64);
    let handle = rig.map(&rig.control, dom, 8, HOLE).unwrap();
    destroy(&rig, guest);
    assert_eq!(peek::<u64>(&rig.control, HOLE), 77);
    assert_eq!(rig.hv.domain(DomId(dom)).unwrap().memory.frames(), 1, "its number stays taken");
    assert_eq!(rig.map(&rig.control, dom, 8, HOLE + 1), Err(abi::STATUS_BAD_DOMAIN));
    assert_eq!(rig.unmap(&rig.control, handle, HOLE), 0);
    assert!(rig.hv.domain(DomId(dom)).is_none(), "the last page was the last of it");
    assert_eq!(rig.holdings(), before);
}

#[test]
fn a_granter_has_its_pages_back_when_the_mapper_is_gone() {
    let rig = Rig::new();
    let before = rig.holdings();
    let (backend, guest) = (guest(&rig), guest(&rig));
    let gfn = |gref: u32| u64::from(gref) % 500;
    (0..512).for_each(|gref| grant(&guest, gref, id(&backend), gfn(gref)));
    (0..512).for_each(|gref| assert!(rig.map(&backend, id(&guest), gref, HOLE + u64::from(gref)).is_ok()));
    assert!((0..512).all(|gref| in_use(&guest, gref)));
    let domain = backend.domain().clone();
    drop(backend);
    let steps = (1..1_000_000).find(|_| rig.hv.destroy_step(&domain) == Progress::Done);
    assert!(steps.unwrap() > 512 / 32, "in bounded steps");
    drop(domain);
    assert!((0..512).all(|gref| !in_use(&guest, gref)));
    assert_eq!(guest.domain().memory.frames(), 512);
    destroy(&rig, guest);
    assert_eq!(rig.holdings(), before);
}

#[test]
fn a_domain_that_maps_its_own_grants_goes_too() {
    let rig = Rig::new();
    let before = rig.holdings();
    let guest = guest(&rig);
    (0..9).for_each(|gref| grant(&guest, gref, id(&guest), 20));
    (0..9).for_each(|gref| assert!(rig.map(&guest, nr::DOMID_SELF, gref, HOLE + u64::from(gref)).is_ok()));
    let op = copy::<X64>((End::Of(nr::DOMID_SELF, 3), 0), (End::Own(4), 0), 16);
    assert_eq!(rig.grant_op(&guest, abi::OP_COPY, op).status, 0);
    destroy(&rig, guest);
    assert_eq!(rig.holdings(), before);
}

fn acquire(rig: &Rig, by: &Caller, of: u16, first: u64, gfns: &[u64]) -> i64 {
    let mut ask = mem::AcquireResource::<X64>::zeroed();
    (ask.domid, ask.kind, ask.frame) = (of, mem::RESOURCE_GRANT_TABLE, first);
    (ask.nr_frames, ask.frame_list) = (gfns.len() as u32, Handle64::from_raw(by.put_all(gfns)));
    rig.op(by, nr::HYPERCALL_MEMORY_OP, mem::ACQUIRE_RESOURCE, &mut ask)
}

#[test]
fn the_control_domain_maps_a_guests_table() {
    let rig = Rig::new();
    let (before, control) = (rig.holdings(), &rig.control);
    let guest = guest(&rig);
    let dom = id(&guest);
    let size = |by, kind, number| {
        let mut ask = mem::AcquireResource::<X64>::zeroed();
        (ask.domid, ask.kind, ask.id) = (dom, kind, number);
        let result = rig.op(by, nr::HYPERCALL_MEMORY_OP, mem::ACQUIRE_RESOURCE, &mut ask);
        if result == 0 { ask.nr_frames.into() } else { result }
    };
    assert_eq!(size(control, mem::RESOURCE_GRANT_TABLE, 0), 4);
    assert_eq!(size(control, mem::RESOURCE_GRANT_TABLE, 1), no(Errno::EINVAL), "version 1");
    assert_eq!(size(control, mem::RESOURCE_IOREQ_SERVER, 0), no(Errno::EOPNOTSUPP));
    assert_eq!(size(&guest, mem::RESOURCE_GRANT_TABLE, 0), no(Errno::EPERM));
    assert_eq!(acquire(&rig, control, dom, 0, &[HOLE, HOLE + 1, HOLE + 2]), 0);
    assert_eq!(guest.domain().grants.lock().size().frames, 3);
    // As the tools fill the first entries in.
    poke(control, HOLE, &(1u64 | 20 << 32));
    let handle = rig.map(control, dom, 0, HOLE + 9).unwrap();
    for first in [2, u64::MAX] {
        assert_eq!(acquire(&rig, control, dom, first, &[HOLE; 3]), no(Errno::EINVAL));
    }
    assert_eq!(acquire(&rig, control, 0, 0, &[HOLE]), no(Errno::EINVAL));
    assert_eq!(acquire(&rig, control, 77, 0, &[HOLE]), no(Errno::ESRCH));
    // The pages stay for as long as they are mapped.
    assert_eq!(rig.unmap(control, handle, HOLE + 9), 0);
    destroy(&rig, guest);
    assert_eq!(control.domain().memory.lookup(Gfn(HOLE)).map(|entry| entry.kind), Some(PageType::Foreign));
    assert_eq!(peek::<u64>(control, HOLE) >> 32, 20);
    (0..3).for_each(|i| assert_eq!(rig.remove(control, HOLE + i), 0));
    assert_eq!(rig.holdings(), before);
}

#[test]
fn who_holds_a_dead_domain_is_told() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let (dom, other) = (id(&guest), super::guest(&rig));
    (8..11).for_each(|gref| grant(&guest, gref, 0, 20));
    grant(&guest, 11, id(&other), 21);
    let handles: Vec<u32> =
        (8..11).map(|gref| rig.map(&rig.control, dom, gref, HOLE + u64::from(gref)).unwrap()).collect();
    let theirs = rig.map(&other, dom, 11, HOLE).unwrap();
    let mut add = mem::AddToPhysmapBatch::<X64>::zeroed();
    (add.domid, add.space, add.size, add.foreign_domid) =
        (nr::DOMID_SELF, mem::MAPSPACE_GMFN_FOREIGN as u16, 2, dom);
    add.idxs = Handle64::from_raw(rig.control.put(&[30u64, 31]));
    add.gpfns = Handle64::from_raw(rig.control.put(&[HOLE + 70, HOLE + 5000]));
    add.errs = Handle64::from_raw(rig.control.put(&[0u64]));
    assert_eq!(rig.op(&rig.control, nr::HYPERCALL_MEMORY_OP, mem::ADD_TO_PHYSMAP_BATCH, &mut add), 0);
    destroy(&rig, guest);
    let holdings = |holder| {
        let (mut at, mut sum, mut calls) = (0, (0, 0), 0);
        while at != tenon::HOLDINGS_END {
            let ask = tenon::Holdings { at, holder, ..Plain::zeroed() };
            let got = rig.ctl(tenon::HOLDINGS, dom, ask)?;
            (at, sum, calls) = (got.at, (sum.0 + got.grants, sum.1 + got.frames), calls + 1);
            assert!(calls < 20);
        }
        Ok(sum)
    };
    assert_eq!((holdings(0), holdings(id(&other))), (Ok((3, 2)), Ok((1, 0))));
    assert_eq!(holdings(77), Err(no(Errno::ESRCH)));
    let wild = tenon::Holdings { at: u64::MAX - 1, ..Plain::zeroed() };
    assert_eq!(rig.ctl(tenon::HOLDINGS, dom, wild).unwrap().at, tenon::HOLDINGS_END);
    for (handle, gref) in handles.into_iter().zip(8..) {
        assert_eq!(rig.unmap(&rig.control, handle, HOLE + gref), 0);
    }
    assert_eq!(holdings(0), Ok((0, 2)));
    [70, 5000].into_iter().for_each(|at| assert_eq!(rig.remove(&rig.control, HOLE + at), 0));
    assert_eq!(rig.unmap(&other, theirs, HOLE), 0);
    assert!(rig.hv.domain(DomId(dom)).is_none());
}

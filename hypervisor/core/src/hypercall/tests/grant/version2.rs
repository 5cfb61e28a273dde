//! Tables of version 2, from the sides of three domains.

use std::vec;
use std::vec::Vec;

use hypercall_abi::abi::{Handle64, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::grant_table as abi;
use hypercall_abi::memory as mem;
use hypercall_abi::plain::Plain;
use hypercall_abi::xen as nr;

use super::{End, copy, destroy, guest, id, peek, poke};
use crate::frame::Gfn;
use crate::gnttab::Content;
use crate::hypercall::tests::rig::{Caller, Rig, no};
use crate::page::GuestPage;

/// A guest frame with nothing behind it.
const HOLE: u64 = 0x1000;
const STATUS: u32 = mem::MAPIDX_GRANT_TABLE_STATUS;

const PERMIT: u64 = 1;
const TRANSITIVE: u64 = 3;
const READONLY: u64 = 4;
const SUB_PAGE: u64 = 0x100;

/// A guest with a table of version 2.
fn guest2(rig: &Rig) -> Caller {
    let guest = guest(rig);
    assert_eq!(rig.grant_ops(&guest, abi::OP_SET_VERSION, &[abi::SetVersion { version: 2 }]).0, 0);
    guest
}

/// Writes an entry: flags and what comes between them and the last 8 bytes, the domain, and the last 8 bytes.
fn entry(domain: &Caller, gref: u32, flags: u64, to: &Caller, middle: u64, last: u64) {
    let grants = domain.domain().grants.lock();
    let page = grants.frame(Content::Entries, 0).unwrap();
    page.store64(gref as usize * 16 + 8, last);
    page.store64(gref as usize * 16, middle << 32 | u64::from(id(to)) << 16 | flags);
}

/// The status word of an entry.
fn status(domain: &Caller, gref: u32) -> u16 {
    let grants = domain.domain().grants.lock();
    let page = grants.frame(Content::Status, 0).unwrap();
    (page.load32(gref as usize / 2 * 4) >> (gref % 2 * 16)) as u16
}

#[test]
fn a_guest_sets_version_two_up_and_leaves_it() {
    let rig = Rig::new();
    let before = rig.holdings();
    let guest = guest2(&rig);
    let version = abi::GetVersion { dom: nr::DOMID_SELF, ..Plain::zeroed() };
    assert_eq!(rig.grant_op(&guest, abi::OP_GET_VERSION, version).version, 2);
    let list = |frames: u32| {
        let mut ask = abi::GetStatusFrames::<X64>::zeroed();
        (ask.dom, ask.nr_frames) = (nr::DOMID_SELF, frames);
        ask.frame_list = Handle64::from_raw(guest.put(&[7u64; 2]));
        let status = rig.grant_op(&guest, abi::OP_GET_STATUS_FRAMES, ask).status;
        (status, guest.get::<[u64; 2]>(ask.frame_list.raw()))
    };
    assert_eq!(list(0), (0, [7, 7]));
    assert_eq!(list(1), (0, [u64::MAX, 7]));
    assert_eq!(rig.place_table(&guest, STATUS, HOLE), 0);
    assert_eq!(rig.place_table(&guest, 3, HOLE + 1), 0);
    assert_eq!(rig.place_table(&guest, STATUS | 1, HOLE + 2), no(Errno::EINVAL));
    assert_eq!(list(1), (0, [HOLE, 7]));
    assert_eq!(list(2), (abi::STATUS_GENERAL_ERROR, [7, 7]));

    let mut ask = mem::AcquireResource::<X64>::zeroed();
    (ask.domid, ask.kind, ask.id) = (id(&guest), mem::RESOURCE_GRANT_TABLE, 1);
    let acquire = |ask: &mut _| rig.op(&rig.control, nr::HYPERCALL_MEMORY_OP, mem::ACQUIRE_RESOURCE, ask);
    assert_eq!((acquire(&mut ask), ask.nr_frames), (0, 1));
    ask.frame_list = Handle64::from_raw(rig.control.put(&[HOLE]));
    assert_eq!(acquire(&mut ask), 0);
    poke(&guest, HOLE, &0x1234_u16);
    assert_eq!(peek::<u16>(&rig.control, HOLE), 0x1234);
    assert_eq!(rig.remove(&rig.control, HOLE), 0);

    // Version 1 has no status words: they are gone from the guest's memory.
    assert_eq!(rig.grant_ops(&guest, abi::OP_SET_VERSION, &[abi::SetVersion { version: 1 }]).0, 0);
    assert_eq!(guest.domain().memory.lookup(Gfn(HOLE)), None);
    assert_eq!(list(1).0, abi::STATUS_GENERAL_ERROR);
    assert_eq!(rig.place_table(&guest, STATUS, HOLE), no(Errno::EINVAL));
    destroy(&rig, guest);
    assert_eq!(rig.holdings(), before);
}

#[test]
fn whole_pages_are_mapped_and_parts_are_copied() {
    let rig = Rig::new();
    let (guest, other) = (guest2(&rig), guest2(&rig));
    let from = id(&guest);
    entry(&guest, 9, PERMIT, &other, 0, 20);
    entry(&guest, 10, PERMIT | SUB_PAGE, &other, 100 | 50 << 16, 20);
    poke(&guest, 20, &[5u8; 4096]);
    let handle = rig.map(&other, from, 9, HOLE).unwrap();
    assert_eq!((peek::<u8>(&other, HOLE), status(&guest, 9), status(&guest, 8)), (5, 0x18, 0));
    assert_eq!(rig.unmap(&other, handle, HOLE), 0);
    assert_eq!(status(&guest, 9), 0);
    assert_eq!(rig.map(&other, from, 10, HOLE), Err(abi::STATUS_GENERAL_ERROR));
    let statuses = |ends: &[(u16, u16)]| -> Vec<i16> {
        let there = |offset| (End::Of(from, 10), offset);
        let ops = ends.iter().flat_map(|&(offset, len)| {
            let here = (End::Own(30), offset);
            [copy::<X64>(there(offset), here, len), copy::<X64>(here, there(offset), len)]
        });
        rig.grant_ops(&other, abi::OP_COPY, &ops.collect::<Vec<_>>()).1.iter().map(|op| op.status).collect()
    };
    assert_eq!(statuses(&[(100, 50), (149, 1)]), [0; 4]);
    assert_eq!(statuses(&[(99, 2), (100, 51), (0, 4096), (150, 1)]), vec![abi::STATUS_GENERAL_ERROR; 8]);
    assert_eq!(status(&guest, 10), 0);
}

#[test]
fn a_copy_goes_through_a_grant_that_is_passed_on() {
    let rig = Rig::new();
    let before = rig.holdings();
    // The owner grants to the middle one, which passes it on to the last.
    let (owner, middle, last) = (guest2(&rig), guest2(&rig), guest2(&rig));
    entry(&owner, 9, PERMIT | SUB_PAGE, &middle, 8 | 64 << 16, 20);
    entry(&middle, 10, TRANSITIVE, &last, id(&owner).into(), 9);
    poke(&owner, 20, &[3u64; 9]);
    let through = |gref| End::Of(id(&middle), gref);
    let statuses = |gref: u32, offset: u16, len: u16| {
        let (there, here) = ((through(gref), offset), (End::Own(30), 0));
        let ops = [copy::<X64>(there, here, len), copy::<X64>(here, there, len)];
        let got = rig.grant_ops(&last, abi::OP_COPY, &ops).1.iter().map(|op| op.status).collect::<Vec<_>>();
        // Nothing stays in use.
        assert_eq!((status(&owner, 9), status(&middle, gref)), (0, 0));
        (got[0], got[1])
    };
    assert_eq!(statuses(10, 8, 64), (0, 0));
    assert_eq!(peek::<[u64; 8]>(&last, 30), [3; 8]);
    let refused = abi::STATUS_GENERAL_ERROR;
    assert_eq!(statuses(10, 0, 64), (refused, refused), "not more than the owner grants");
    assert_eq!(rig.map(&last, id(&middle), 10, HOLE), Err(refused), "not mapped");
    let direct = copy::<X64>((End::Of(id(&owner), 9), 8), (End::Own(30), 0), 8);
    assert_eq!(rig.grant_op(&last, abi::OP_COPY, direct).status, refused, "not without the middle one");
    entry(&middle, 11, TRANSITIVE | READONLY, &last, id(&owner).into(), 9);
    assert_eq!(statuses(11, 8, 8), (0, refused), "read-only in the middle");
    entry(&owner, 9, PERMIT | READONLY, &middle, 0, 20);
    assert_eq!(statuses(10, 8, 8), (0, refused), "read-only at the owner");
    entry(&middle, 12, TRANSITIVE, &last, id(&owner).into(), 77);
    assert_eq!(statuses(12, 8, 8), (refused, refused), "the owner grants nothing");
    entry(&middle, 13, TRANSITIVE, &last, id(&middle).into(), 13);
    assert_eq!(statuses(13, 8, 8), (refused, refused), "not to itself");
    entry(&middle, 14, TRANSITIVE, &last, id(&middle).into(), 10);
    entry(&middle, 10, TRANSITIVE, &middle, id(&owner).into(), 9);
    assert_eq!(statuses(14, 8, 8), (refused, refused), "not passed on twice");
    entry(&middle, 14, PERMIT, &middle, 0, 20);
    entry(&middle, 16, TRANSITIVE, &last, id(&middle).into(), 14);
    assert_eq!(statuses(16, 8, 8), (0, 0), "its own grant to itself");
    entry(&middle, 15, TRANSITIVE, &last, 0x1234, 9);
    assert_eq!(statuses(15, 8, 8), (abi::STATUS_BAD_DOMAIN, abi::STATUS_BAD_DOMAIN));
    [middle, owner, last].into_iter().for_each(|guest| destroy(&rig, guest));
    assert_eq!(rig.holdings(), before);
}

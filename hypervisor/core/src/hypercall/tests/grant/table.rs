//! The table itself, and calls as a whole.

use std::vec::Vec;

use hypercall_abi::abi::{Handle64, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::grant_table as abi;
use hypercall_abi::grant_table::EntryFlags;
use hypercall_abi::plain::Plain;
use hypercall_abi::xen as nr;

use super::{flags, guest, logged, peek, poke};
use crate::frame::Gfn;
use crate::guest_cpu::{Gpr, GuestCpu};
use crate::hypercall::handle;
use crate::hypercall::tests::rig::{Rig, no};
use crate::sync::Class;

/// A guest frame with nothing behind it.
const HOLE: u64 = 0x1000;

#[test]
fn a_guest_sets_its_table_up() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let size = || {
        let ask = abi::QuerySize { dom: nr::DOMID_SELF, ..Plain::zeroed() };
        let got = rig.grant_op(&guest, abi::OP_QUERY_SIZE, ask);
        (got.status, got.nr_frames, got.max_nr_frames)
    };
    assert_eq!(size(), (0, 1, 4));
    // As Linux does it: the last page first.
    for index in (0..4).rev() {
        assert_eq!(rig.place_table(&guest, index, HOLE + u64::from(index)), 0);
    }
    assert_eq!(size(), (0, 4, 4));
    assert_eq!(rig.place_table(&guest, 4, HOLE + 4), no(Errno::EINVAL));
    assert_eq!(rig.place_table(&guest, 0x8000_0000, HOLE + 4), no(Errno::EINVAL), "no status words yet");
    poke(&guest, HOLE + 3, &(1u64 | 7 << 16 | 5 << 32));
    assert_eq!(flags(&guest, 3 * 512), EntryFlags::PERMIT_ACCESS);
    // Moved, it is no longer where it was.
    assert_eq!(rig.place_table(&guest, 3, HOLE + 9), 0);
    assert_eq!(guest.domain().memory.lookup(Gfn(HOLE + 3)), None);
    assert_eq!(peek::<u32>(&guest, HOLE + 9), 7 << 16 | 1);

    let mut list = abi::SetupTable::<X64>::zeroed();
    (list.dom, list.nr_frames) = (nr::DOMID_SELF, 4);
    list.frame_list = Handle64::from_raw(guest.put(&[0u64; 4]));
    assert_eq!(rig.grant_op(&guest, abi::OP_SETUP_TABLE, list).status, 0);
    assert_eq!(guest.get::<[u64; 4]>(list.frame_list.raw()), [HOLE, HOLE + 1, HOLE + 2, HOLE + 9]);
    list.nr_frames = 5;
    rig.machine.advance(1_000_000_000);
    assert_ne!(rig.grant_op(&guest, abi::OP_SETUP_TABLE, list).status, 0);
    assert!(logged(&rig, "limit is 4 frames"));
}

#[test]
fn the_version_is_one_until_the_guest_changes_it() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let set = |version| rig.grant_ops(&guest, abi::OP_SET_VERSION, &[abi::SetVersion { version }]);
    assert_eq!(set(3), (no(Errno::EINVAL), Vec::from([abi::SetVersion { version: 1 }])));
    assert_eq!(set(1).0, 0);
    let get =
        |dom| rig.grant_ops(&guest, abi::OP_GET_VERSION, &[abi::GetVersion { dom, pad: 0, version: 9 }]);
    assert_eq!(get(nr::DOMID_SELF).1[0].version, 1);
    assert_eq!(get(0).0, no(Errno::EPERM));
    let ask = abi::QuerySize { dom: 0, ..Plain::zeroed() };
    assert_eq!(rig.grant_op(&guest, abi::OP_QUERY_SIZE, ask).status, abi::STATUS_PERMISSION_DENIED);
    let ask = abi::GetStatusFrames::<X64> { dom: nr::DOMID_SELF, nr_frames: 1, ..Plain::zeroed() };
    assert_eq!(rig.grant_op(&guest, abi::OP_GET_STATUS_FRAMES, ask).status, abi::STATUS_GENERAL_ERROR);
}

#[test]
fn one_step_does_so_much_and_leaves_the_rest() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let swaps = [abi::SwapGrantRef { ref_a: 1, ref_b: 2, ..Plain::zeroed() }; 100];
    let at = guest.put_all(&swaps);
    let mut context = guest.vcpu.context.lock_as(Class::Context);
    let gprs = context.guest.gprs_mut();
    gprs.set(Gpr::Rax, nr::HYPERCALL_GRANT_TABLE_OP.into());
    gprs.set(Gpr::Rdi, abi::OP_SWAP_GRANT_REF.into());
    gprs.set(Gpr::Rsi, at);
    gprs.set(Gpr::Rdx, 100);
    let rip = gprs.rip;
    handle(&rig.hv, &guest.vcpu, &mut context);
    let gprs = context.guest.gprs();
    assert_eq!(gprs.rip, rip, "the call is issued again");
    assert_eq!(gprs.get(Gpr::Rsi), at + 64 * size_of::<abi::SwapGrantRef>() as u64);
    assert_eq!(gprs.get(Gpr::Rdx), 36);
}

#[test]
fn calls_that_cannot_be_read_or_do_not_exist_fail_whole() {
    let rig = Rig::new();
    let guest = guest(&rig);
    let some = guest.put(&[0u64; 8]);
    let op = |op: u32, at: u64, count: u64| {
        rig.call(&guest, nr::HYPERCALL_GRANT_TABLE_OP, &[op.into(), at, count])
    };
    for number in [abi::OP_MAP_GRANT_REF, abi::OP_UNMAP_GRANT_REF, abi::OP_COPY, abi::OP_SWAP_GRANT_REF] {
        assert_eq!(op(number, HOLE << 12, 1), no(Errno::EFAULT));
        assert_eq!(op(number, HOLE << 12, 0), 0);
        assert_eq!(op(number, some, 0x8000_0000), no(Errno::EINVAL));
        assert_eq!(op(number, u64::MAX - 8, 64), no(Errno::EFAULT));
    }
    assert_eq!(op(abi::OP_QUERY_SIZE, some, 2), no(Errno::EINVAL));
    assert_eq!(op(abi::OP_TRANSFER, some, 1), no(Errno::ENOSYS));
    assert_eq!(op(77, some, 1), no(Errno::ENOSYS));
    let flush = |gfn: u64| {
        let arg = abi::CacheFlush { a: gfn << 12, length: 64, op: abi::CacheOps::CLEAN, ..Plain::zeroed() };
        rig.grant_ops(&guest, abi::OP_CACHE_FLUSH, &[arg]).0
    };
    assert_eq!(flush(3), 0);
    assert_eq!(flush(HOLE), no(Errno::EPERM));
}

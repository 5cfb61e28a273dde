use hypercall_abi::abi::{Abi, Word, X32, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::memory as mem;
use hypercall_abi::version;
use hypercall_abi::xen as nr;
use hypercall_abi::xen::MulticallEntry;
use std::vec::Vec;

use super::rig::*;
use crate::guest_cpu::CpuMode;
use crate::time::Nanos;

fn entry<A: Abi>(op: u32, args: &[u64]) -> MulticallEntry<A> {
    let mut entry = MulticallEntry::<A> { op: A::Ulong::truncated(op.into()), ..MulticallEntry::default() };
    for (to, from) in entry.args.iter_mut().zip(args) {
        *to = A::Ulong::truncated(*from);
    }
    entry
}

fn each_has_its_result<A: Abi>(mode: CpuMode) {
    let rig = Rig::new();
    rig.control.run_in(mode);
    let version = || entry::<A>(nr::HYPERCALL_XEN_VERSION, &[version::OP_VERSION.into()]);
    let mut list: Vec<MulticallEntry<A>> = (0..50).map(|_| version()).collect();
    list[7] = entry(nr::HYPERCALL_MULTICALL, &[0, 1]);
    list[20] = entry(nr::HYPERCALL_XEN_VERSION, &[99]);
    let at = rig.control.put_all(&list);
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_MULTICALL, &[at, 50]), 0);
    let list: Vec<MulticallEntry<A>> = rig.control.get_all(at, 50);
    let result = |i: usize| list[i].result.get() as i32;
    assert_eq!([result(0), result(49)], [4 << 16 | 17; 2]);
    assert_eq!(result(7), no(Errno::EINVAL) as i32);
    assert_eq!(result(20), no(Errno::ENOSYS) as i32);
}

#[test]
fn in_both_layouts() {
    each_has_its_result::<X64>(CpuMode::Bits64);
    each_has_its_result::<X32>(CpuMode::Bits32);
}

/// An entry that takes several steps goes on where it stopped, and the entries after it run once.
#[test]
fn an_unfinished_entry_is_finished() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let gfns: Vec<u64> = (1000..1300).collect();
    let list = guest.put_all(&gfns);
    let reservation = guest.put(&mem::Reservation::<X64> {
        extent_start: Word::truncated(list),
        nr_extents: 300,
        domid: nr::DOMID_SELF,
        ..mem::Reservation::default()
    });
    let calls = [
        entry::<X64>(nr::HYPERCALL_MEMORY_OP, &[mem::POPULATE_PHYSMAP.into(), reservation]),
        entry::<X64>(nr::HYPERCALL_XEN_VERSION, &[0]),
    ];
    let at = guest.put_all(&calls);
    assert_eq!(rig.call(&guest, nr::HYPERCALL_MULTICALL, &[at, 2]), 0);
    let done: Vec<MulticallEntry<X64>> = guest.get_all(at, 2);
    assert_eq!([done[0].result, done[1].result], [300, 4 << 16 | 17]);
    assert_eq!(guest.domain().memory.frames(), 812);
}

#[test]
fn wild_lists_end() {
    let rig = Rig::new();
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_MULTICALL, &[1 << 30, 3]), no(Errno::EFAULT));
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_MULTICALL, &[0x10_0000, u64::MAX]), no(Errno::EFAULT));
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_MULTICALL, &[1 << 30, 0]), 0);
}

#[test]
fn timers_and_assists() {
    let rig = Rig::new();
    let timer = || rig.control.vcpu.context.lock().timers.singleshot;
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_SET_TIMER_OP, &[9_000_000_000]), 0);
    assert_eq!(timer(), Nanos(9_000_000_000));
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_SET_TIMER_OP, &[0]), 0);
    assert_eq!(timer(), Nanos::NEVER);
    rig.control.run_in(CpuMode::Bits32);
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_SET_TIMER_OP, &[5, 9]), 0);
    assert_eq!(timer(), Nanos(9 << 32 | 5));
    let assist = |command: u32, kind: u32| {
        rig.call(&rig.control, nr::HYPERCALL_VM_ASSIST, &[command.into(), kind.into()])
    };
    assert_eq!(assist(nr::VMASST_CMD_ENABLE, nr::VMASST_TYPE_RUNSTATE_UPDATE_FLAG), 0);
    assert_eq!(assist(7, nr::VMASST_TYPE_RUNSTATE_UPDATE_FLAG), no(Errno::ENOSYS));
    assert_eq!(assist(nr::VMASST_CMD_ENABLE, nr::VMASST_TYPE_WRITABLE_PAGETABLES), no(Errno::EINVAL));
}

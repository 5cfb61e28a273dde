//! Several calls by one.

use alloc::vec::Vec;

use test_guests::abi::errno::Errno;
use test_guests::abi::version::OP_VERSION;
use test_guests::abi::xen::*;
use test_guests::abi::{Plain, grant_table, memory};
use test_guests::call::{self, Answer, refused};
use test_guests::paging::{self, NON_CANONICAL, PRESENT, Page, UNMAPPED, WRITABLE};
use test_guests::suite::Outcome;
use test_guests::{check, check_eq};

type Entry = MulticallEntry;

fn entry(op: u32, args: [u64; 6]) -> Entry {
    Entry { op: op.into(), result: 0x5555, args }
}

fn version() -> Entry {
    entry(HYPERCALL_XEN_VERSION, [OP_VERSION.into(), 0, 0, 0, 0, 0])
}

fn make(list: u64, count: u64) -> Answer {
    call::any(HYPERCALL_MULTICALL, &[list, count])
}

fn make_all(entries: &mut [Entry]) -> Answer {
    make(entries.as_mut_ptr().expose_provenance() as u64, entries.len() as u64)
}

const fn number(errno: Errno) -> u64 {
    (errno as i64).wrapping_neg().cast_unsigned()
}

const TOLD: u64 = 4 << 16 | 17;

pub fn each_its_result() -> Outcome {
    let mut domain = DOMID_SELF;
    let reservation = call::memory(memory::CURRENT_RESERVATION, &mut domain)?;
    let mut inner = [version()];
    let list = call::address(&mut inner);
    let mut entries = [
        version(),
        entry(60, [0; 6]),
        entry(
            HYPERCALL_MEMORY_OP,
            [memory::CURRENT_RESERVATION.into(), call::address(&mut domain), 0, 0, 0, 0],
        ),
        entry(HYPERCALL_MEMORY_OP, [memory::CURRENT_RESERVATION.into(), UNMAPPED, 0, 0, 0, 0]),
        entry(HYPERCALL_MULTICALL, [list, 1, 0, 0, 0, 0]),
        version(),
    ];
    check_eq!(make_all(&mut entries), Ok(0));
    let results = entries.map(|entry| entry.result);
    check_eq!(results[..4], [TOLD, number(Errno::ENOSYS), reservation, number(Errno::EFAULT)]);
    check_eq!(results[4], number(Errno::EINVAL), "one in another");
    check_eq!(results[5], TOLD);
    check_eq!(make(call::address(&mut domain), 0), Ok(0), "none at all");
    Ok(())
}

pub fn more_than_a_step() -> Outcome {
    let mut entries: Vec<Entry> = (0..300).map(|_| version()).collect();
    check_eq!(make_all(&mut entries), Ok(0));
    for (i, entry) in entries.iter().enumerate() {
        check_eq!(entry.result, TOLD, "entry {i}");
        check_eq!(entry.args[0], u64::from(OP_VERSION));
    }
    Ok(())
}

/// Calls before the one that cannot be read are made.
pub fn bad_lists() -> Outcome {
    let size = size_of::<Entry>() as u64;
    let page = Page::new();
    let end = paging::map(50, page.address(), PRESENT | WRITABLE) + 4096;
    paging::map(51, 0, 0);
    page.set(4096 - 2 * size, version());
    page.set(4096 - size, version());
    check_eq!(make(end - 2 * size, 3), refused(Errno::EFAULT));
    check_eq!(page.get::<Entry>(4096 - 2 * size).result, TOLD);
    check_eq!(page.get::<Entry>(4096 - size).result, TOLD);
    check_eq!(make(end - 8, 1), refused(Errno::EFAULT), "half an entry");
    let readonly = paging::map(50, page.address(), PRESENT);
    check_eq!(make(readonly + 4096 - size, 1), refused(Errno::EFAULT), "a result that cannot be written");
    for list in [UNMAPPED, NON_CANONICAL, u64::MAX - 16, 0xffff_ffff_ffff_f000] {
        for count in [1, 1000, 0xffff_ffff] {
            check_eq!(make(list, count), refused(Errno::EFAULT), "{count} at {list:#x}");
        }
    }
    paging::map(50, 0, 0);
    Ok(())
}

/// A call that takes several steps inside: nothing is done twice or left out.
pub fn unfinished_ones() -> Outcome {
    let (from, to) = (Page::new(), Page::new());
    from.fill(0x3c);
    let mut copies = Vec::new();
    for _ in 0..300 {
        let mut copy: grant_table::Copy = grant_table::Copy::zeroed();
        (copy.source.u, copy.source.domid) = (from.gfn(), DOMID_SELF);
        (copy.dest.u, copy.dest.domid, copy.len, copy.status) = (to.gfn(), DOMID_SELF, 8, 77);
        copies.push(copy);
    }
    let list = copies.as_mut_ptr().expose_provenance() as u64;
    let mut entries = [
        version(),
        entry(HYPERCALL_GRANT_TABLE_OP, [grant_table::OP_COPY.into(), list, 300, 0, 0, 0]),
        version(),
    ];
    check_eq!(make_all(&mut entries), Ok(0));
    check_eq!(entries.map(|entry| entry.result), [TOLD, 0, TOLD]);
    check!(copies.iter().all(|copy| copy.status == grant_table::STATUS_OKAY));
    check_eq!(to.get::<u64>(0), 0x3c3c_3c3c_3c3c_3c3c);
    Ok(())
}

//! Every hypercall with pointers that lead nowhere.

use test_guests::abi::errno::Errno;
use test_guests::abi::xen::*;
use test_guests::abi::{event_channel, grant_table, hvm, memory, physdev, sched, vcpu, version};
use test_guests::call::{self, refused};
use test_guests::paging::{self, Page};
use test_guests::suite::Outcome;
use test_guests::{check, check_eq, cpu, trap};

use crate::{BAD, edge};

/// Operations that read a structure first, with the index of the argument that points to it.
const READERS: &[(u32, u32, usize)] = &[
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_ALLOC_UNBOUND, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_BIND_INTERDOMAIN, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_BIND_VIRQ, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_BIND_IPI, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_CLOSE, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_SEND, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_STATUS, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_BIND_VCPU, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_UNMASK, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_RESET, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_INIT_CONTROL, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_EXPAND_ARRAY, 1),
    (HYPERCALL_EVENT_CHANNEL_OP, event_channel::OP_SET_PRIORITY, 1),
    (HYPERCALL_MEMORY_OP, memory::CURRENT_RESERVATION, 1),
    (HYPERCALL_MEMORY_OP, memory::MAXIMUM_RESERVATION, 1),
    (HYPERCALL_MEMORY_OP, memory::MAXIMUM_GPFN, 1),
    (HYPERCALL_MEMORY_OP, memory::ADD_TO_PHYSMAP, 1),
    (HYPERCALL_MEMORY_OP, memory::ADD_TO_PHYSMAP_BATCH, 1),
    (HYPERCALL_MEMORY_OP, memory::REMOVE_FROM_PHYSMAP, 1),
    (HYPERCALL_MEMORY_OP, memory::MEMORY_MAP, 1),
    (HYPERCALL_MEMORY_OP, memory::ACQUIRE_RESOURCE, 1),
    (HYPERCALL_SCHED_OP, sched::OP_SHUTDOWN, 1),
    (HYPERCALL_SCHED_OP, sched::OP_POLL, 1),
    (HYPERCALL_SCHED_OP, sched::OP_REMOTE_SHUTDOWN, 1),
    (HYPERCALL_SCHED_OP, sched::OP_WATCHDOG, 1),
    (HYPERCALL_HVM_OP, hvm::OP_SET_PARAM, 1),
    (HYPERCALL_HVM_OP, hvm::OP_GET_PARAM, 1),
    (HYPERCALL_HVM_OP, hvm::OP_SET_EVTCHN_UPCALL_VECTOR, 1),
    (HYPERCALL_VCPU_OP, vcpu::OP_SET_SINGLESHOT_TIMER, 2),
    (HYPERCALL_VCPU_OP, vcpu::OP_SET_PERIODIC_TIMER, 2),
    (HYPERCALL_VCPU_OP, vcpu::OP_REGISTER_VCPU_INFO, 2),
    (HYPERCALL_GRANT_TABLE_OP, grant_table::OP_MAP_GRANT_REF, 1),
    (HYPERCALL_GRANT_TABLE_OP, grant_table::OP_UNMAP_GRANT_REF, 1),
    (HYPERCALL_GRANT_TABLE_OP, grant_table::OP_SETUP_TABLE, 1),
    (HYPERCALL_GRANT_TABLE_OP, grant_table::OP_COPY, 1),
    (HYPERCALL_GRANT_TABLE_OP, grant_table::OP_QUERY_SIZE, 1),
];

/// Operations that only write, and what they write.
const WRITERS: &[(u32, u32, usize)] = &[
    (HYPERCALL_XEN_VERSION, version::OP_EXTRAVERSION, 1),
    (HYPERCALL_XEN_VERSION, version::OP_CAPABILITIES, 1),
    (HYPERCALL_XEN_VERSION, version::OP_COMPILE_INFO, 1),
    (HYPERCALL_XEN_VERSION, version::OP_CHANGESET, 1),
    (HYPERCALL_XEN_VERSION, version::OP_GET_FEATURES, 1),
    (HYPERCALL_VCPU_OP, vcpu::OP_GET_RUNSTATE_INFO, 2),
];

/// Operations on extents, which return how many were done: Xen says 0 here, and not that it could not read.
const EXTENTS: [u32; 2] = [memory::DECREASE_RESERVATION, memory::POPULATE_PHYSMAP];

/// The call's arguments with `pointer` in its place, and a count of 1 where array calls want one.
fn arguments(call: u32, op: u32, at: usize, pointer: u64) -> [u64; 5] {
    let mut args = [op.into(), 0, 0, 0, 0];
    if call == HYPERCALL_GRANT_TABLE_OP {
        args[2] = 1;
    }
    args[at] = pointer;
    args
}

/// A structure that cannot be read or written is refused as such, not as a bad value in it.
pub fn efault() -> Outcome {
    for &(call, op, at) in READERS.iter().chain(WRITERS) {
        for pointer in BAD {
            let answer = call::any(call, &arguments(call, op, at, pointer));
            check_eq!(answer, refused(Errno::EFAULT), "call {call} op {op} pointer {pointer:#x}");
        }
    }
    for (op, pointer) in EXTENTS.into_iter().flat_map(|op| BAD.map(|pointer| (op, pointer))) {
        let answer = call::any(HYPERCALL_MEMORY_OP, &[op.into(), pointer]);
        check!(answer == refused(Errno::EFAULT) || answer == Ok(0), "memory op {op}: {answer:?}");
    }
    Ok(())
}

/// A structure that begins on a mapped page and ends on one that is not.
pub fn page_crossing() -> Outcome {
    let edge = edge();
    for &(call, op, at) in READERS.iter().chain(WRITERS) {
        let answer = call::any(call, &arguments(call, op, at, edge - 1));
        check_eq!(answer, refused(Errno::EFAULT), "call {call} op {op}");
    }
    // Whole on the mapped page, up to its last byte, it is taken. This structure has two bytes.
    let domain = edge - 2;
    let own = Page::at(paging::WINDOW);
    own.set(4094, DOMID_SELF);
    call::any(HYPERCALL_MEMORY_OP, &[memory::CURRENT_RESERVATION.into(), domain])?;
    // Writing to a page that may only be read is refused, too.
    let readonly = paging::map(2, Page::new().address(), paging::PRESENT);
    let answer = call::any(HYPERCALL_XEN_VERSION, &[version::OP_CAPABILITIES.into(), readonly]);
    check_eq!(answer, refused(Errno::EFAULT), "a read-only page");
    Ok(())
}

/// Calls that would stop the guest or keep it busy although the pointers are bad.
fn needs_no_pointer(call: u32, op: u32) -> bool {
    match call {
        // The first argument is the list, and low addresses are mapped: as many calls as the pointer's value.
        HYPERCALL_MULTICALL => true,
        HYPERCALL_SCHED_OP | HYPERCALL_SCHED_OP_COMPAT => op == sched::OP_BLOCK,
        HYPERCALL_VCPU_OP => op == vcpu::OP_DOWN,
        _ => false,
    }
}

/// Every number with every operation and wild pointers everywhere. What the answers are is not the point here: each
/// call comes back, refused or not, and afterwards everything works.
pub fn every_call() -> Outcome {
    trap::set_up(trap::NMI, false, None);
    let pattern = Page::new();
    let wild = [0, BAD[0], BAD[1], BAD[2], BAD[3], edge() - 3, 0xfee0_0000, 0xffff_f000, 1 << 51];
    // The page has no code for IRET, which is no call here.
    for call in (0..64).filter(|&call| call != HYPERCALL_IRET) {
        for op in (0..64).chain([0x40, 0x1ff, 0x8000_0000, 0xffff_ffff]) {
            if needs_no_pointer(call, op) {
                continue;
            }
            for pointer in wild.into_iter().filter(|pointer| !acts(call) || BAD.contains(pointer)) {
                call::raw(call, [op.into(), pointer, pointer, pointer, pointer]);
                if call == HYPERCALL_VCPU_OP {
                    call::raw(call, [op.into(), 0, pointer, 0, 0]);
                }
            }
        }
        // Calls whose first argument is the pointer.
        for pointer in wild.into_iter().filter(|&pointer| !acts(call) && pointer != 0) {
            call::raw(call, [pointer, 1, 0, 0, 0]);
            call::raw(call, [pointer, u64::MAX, 0, 0, 0]);
        }
    }
    check_eq!(call::any(HYPERCALL_XEN_VERSION, &[version::OP_VERSION.into()])?, 4 << 16 | 17);
    pattern.fill(0xff);
    garbage(pattern)?;
    cpu::cli();
    Ok(())
}

/// Calls that do something worse than fail if they find memory at the pointer: print it, or end the domain.
fn acts(call: u32) -> bool {
    matches!(call, HYPERCALL_CONSOLE_IO | HYPERCALL_SCHED_OP | HYPERCALL_SCHED_OP_COMPAT)
}

/// Structures that can be read and make no sense.
fn garbage(page: Page) -> Outcome {
    let interfaces = [HYPERCALL_DOMCTL, HYPERCALL_SYSCTL, HYPERCALL_PLATFORM_OP];
    for call in interfaces {
        let answer = call::any(call, &[page.address()]);
        check!(answer.is_err(), "call {call} took {answer:?}");
    }
    // Any reason is good enough for a shutdown, and any time for a timer.
    let good = [(HYPERCALL_SCHED_OP, sched::OP_SHUTDOWN), (HYPERCALL_VCPU_OP, vcpu::OP_SET_SINGLESHOT_TIMER)];
    for &(call, op, at) in READERS.iter().filter(|(call, op, _)| !good.contains(&(*call, *op))) {
        page.fill(0xff);
        let answer = call::any(call, &arguments(call, op, at, page.address()));
        // Array calls say it in the element; closing the watchdog that is not there is an error, too.
        check!(answer.is_err() || call == HYPERCALL_GRANT_TABLE_OP, "call {call} op {op} took {answer:?}");
    }
    let physdev =
        [physdev::OP_SETUP_GSI, physdev::OP_MAP_PIRQ, physdev::OP_UNMAP_PIRQ, physdev::OP_PCI_DEVICE_ADD];
    for op in physdev {
        page.fill(0xff);
        let answer = call::any(HYPERCALL_PHYSDEV_OP, &[op.into(), page.address()]);
        check!(answer.is_err(), "physdev op {op} took {answer:?}");
    }
    Ok(())
}

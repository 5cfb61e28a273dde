//! Memory that the guest lends to the hypervisor: run state, time, vCPU information.

use core::mem::offset_of;

use test_guests::abi::Plain;
use test_guests::abi::errno::Errno;
use test_guests::abi::vcpu::*;
use test_guests::abi::xen::*;
use test_guests::call::{self, refused};
use test_guests::paging::{self, NON_CANONICAL, PRESENT, Page, UNMAPPED, WRITABLE};
use test_guests::suite::Outcome;
use test_guests::{boot_info, check, check_eq, clock, events, shared};

/// An area whose halves are on pages that are far apart.
pub fn runstate_across_pages() -> Outcome {
    let (first, second) = (Page::new(), Page::new());
    let at = paging::map(60, second.address(), PRESENT | WRITABLE) - 24;
    paging::map(59, first.address(), PRESENT | WRITABLE);
    call::vcpu(OP_REGISTER_RUNSTATE_MEMORY_AREA, 0, &mut RegisterRunstateMemoryArea { addr: at })?;
    check_eq!(first.get::<u32>(4096 - 24), RUNSTATE_RUNNING);
    // Read first: the vCPU may lose its CPU at any moment, and what is read later is newer.
    let entered: u64 = first.get(4096 - 16);
    let mut told: RunstateInfo = RunstateInfo::zeroed();
    call::vcpu(OP_GET_RUNSTATE_INFO, 0, &mut told)?;
    check!(entered > 0 && entered <= told.state_entry_time, "{entered} {}", told.state_entry_time);
    check_eq!(second.get::<u64>(16), told.time[3], "the last word is on the second page");
    check_eq!(second.get::<u64>(24), 0, "and nothing behind it");
    // Away from there.
    let elsewhere = Page::new().address();
    call::vcpu(OP_REGISTER_RUNSTATE_MEMORY_AREA, 0, &mut RegisterRunstateMemoryArea { addr: elsewhere })?;
    Ok(())
}

/// The clock a second time.
pub fn time_area() -> Outcome {
    let page = Page::new();
    let mut op: RegisterTimeMemoryArea = RegisterTimeMemoryArea { addr: page.address() + 64 };
    call::vcpu(OP_REGISTER_VCPU_TIME_MEMORY_AREA, 0, &mut op)?;
    let info: VcpuTimeInfo = page.get(64);
    check_eq!(info.version % 2, 0);
    check_eq!(info.tsc_to_system_mul, clock::info(0).tsc_to_system_mul);
    let (before, there, after) =
        (clock::now(), clock::at(&info, test_guests::cpu::tsc()), clock::now() + clock::MICROSECOND);
    check!(before <= there + clock::MICROSECOND && there <= after, "{before} {there} {after}");
    Ok(())
}

pub fn bad_areas() -> Outcome {
    let hole = boot_info::hole(1).unwrap_or(0xd000_0000);
    for at in [UNMAPPED, NON_CANONICAL, u64::MAX - 3, hole] {
        for op in [OP_REGISTER_RUNSTATE_MEMORY_AREA, OP_REGISTER_VCPU_TIME_MEMORY_AREA] {
            let mut area = RegisterRunstateMemoryArea { addr: at };
            // Xen takes any address, and finds out when it writes there.
            let answer = call::vcpu(op, 0, &mut area);
            check!(answer == Ok(0) || answer == refused(Errno::EFAULT), "op {op} at {at:#x}: {answer:?}");
        }
    }
    for op in [OP_REGISTER_RUNSTATE_MEMORY_AREA, OP_REGISTER_VCPU_TIME_MEMORY_AREA, OP_REGISTER_VCPU_INFO] {
        let answer = call::vcpu(op, 1000, &mut [0_u64; 4]);
        check_eq!(answer, refused(Errno::ENOENT), "op {op} for a vCPU that is not there");
    }
    Ok(())
}

/// The vCPU's information goes to a page of the guest's choice, once.
pub fn vcpu_info_moves() -> Outcome {
    let page = Page::new();
    let register = |mfn: u64, offset: u32| {
        let mut op = RegisterVcpuInfo { mfn, offset, rsvd: 0 };
        call::vcpu(OP_REGISTER_VCPU_INFO, 0, &mut op)
    };
    let hole = boot_info::hole(1).unwrap_or(0xd000_0000) >> 12;
    for (mfn, offset) in [
        (page.gfn(), 4096 - 8),
        (page.gfn(), 4096),
        (page.gfn(), u32::MAX),
        (hole, 0),
        (1 << 40, 0),
        (u64::MAX, 0),
    ] {
        check!(register(mfn, offset).is_err(), "frame {mfn:#x}, offset {offset:#x}");
    }
    // The event port lives on, and its flag is in the new place.
    let near = events::alloc_unbound(DOMID_SELF)?;
    let far = events::bind_loop(near)?;
    shared::set_masked(near, false);
    shared::clear_pending(near);
    let at = 128;
    check_eq!(register(page.gfn(), at), Ok(0));
    check!(register(Page::new().gfn(), 0).is_err(), "twice");
    let flag = u64::from(at) + offset_of!(VcpuInfo, evtchn_upcall_pending) as u64;
    let selector = u64::from(at) + offset_of!(VcpuInfo, evtchn_pending_sel) as u64;
    page.set(flag, 0_u8);
    page.set(selector, 0_u64);
    events::send(far)?;
    check_eq!(page.get::<u8>(flag), 1);
    check_eq!(page.get::<u64>(selector), 1 << (near / 64));
    let time: VcpuTimeInfo = page.get(u64::from(at) + offset_of!(VcpuInfo, time) as u64);
    check!(time.tsc_to_system_mul != 0 && time.version.is_multiple_of(2), "{time:?}");
    Ok(())
}

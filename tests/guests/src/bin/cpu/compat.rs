//! Hypercalls from 32-bit code: compatibility mode, structures in the 32-bit layout.
#![allow(unsafe_code, reason = "a call into 32-bit code")]

use core::arch::{asm, global_asm};

use test_guests::abi::errno::Errno;
use test_guests::abi::memory::{CURRENT_RESERVATION, E820Entry, MEMORY_MAP, MemoryMap};
use test_guests::abi::plain::Plain;
use test_guests::abi::vcpu::{OP_GET_RUNSTATE_INFO, RUNSTATE_RUNNING, RunstateInfo};
use test_guests::abi::version::{OP_PLATFORM_PARAMETERS, OP_VERSION, PlatformParameters};
use test_guests::abi::xen::*;
use test_guests::abi::{Handle32, Word, X32, guest};
use test_guests::paging::Page;
use test_guests::suite::Outcome;
use test_guests::trap::{CODE32, CODE64};
use test_guests::{boot_info, check, check_eq, clock, paging};

global_asm!(
    // Entered by a far call. The 32-bit interface takes its arguments in EBX, ECX, EDX, ESI, EDI.
    ".pushsection .text.compat, \"ax\", @progbits",
    ".code32",
    ".globl guest_compat_call",
    "guest_compat_call:",
    "call eax",
    "retf",
    ".code64",
    ".popsection",
);

unsafe extern "C" {
    static guest_compat_call: u8;
}

/// The stack of 32-bit code lies low, as everything here does.
fn call32(call: u32, arguments: [u32; 3]) -> i32 {
    let entry = guest::hypercall_page() as u32 + call * 32;
    let target = [(&raw const guest_compat_call).addr() as u32, u32::from(CODE32)];
    let result: u32;
    // SAFETY: the code returns here with all registers but EAX as they were; interrupts are off.
    unsafe {
        asm!("push rbx", "mov ebx, {first:e}", "call fword ptr [{target}]", "pop rbx",
             first = in(reg) arguments[0], target = in(reg) &raw const target,
             inlateout("eax") entry => result, inout("ecx") arguments[1] => _, inout("edx") arguments[2] => _,
             out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("r13") _, out("r14") _,
             out("r15") _);
    }
    let _ = CODE64;
    result.cast_signed()
}

fn low<T>(value: &mut T) -> u32 {
    (&raw mut *value).addr() as u32
}

pub fn hypercalls() -> Outcome {
    check_eq!(call32(HYPERCALL_XEN_VERSION, [OP_VERSION, 0, 0]), 4 << 16 | 17);
    check_eq!(call32(60, [0; 3]), -(Errno::ENOSYS as i32));
    let mut domain = DOMID_SELF;
    let pages = call32(HYPERCALL_MEMORY_OP, [CURRENT_RESERVATION, low(&mut domain), 0]);
    check!(pages > 4096, "{pages} pages");
    check_eq!(
        call32(HYPERCALL_MEMORY_OP, [CURRENT_RESERVATION, 0xffff_ffff, 0]),
        -(Errno::EFAULT as i32),
        "a pointer whose end is beyond 4 GiB"
    );
    Ok(())
}

pub fn layouts() -> Outcome {
    let mut platform = [PlatformParameters::<X32>::zeroed(); 2];
    platform[1].virt_start = 0x7777_7777;
    check_eq!(call32(HYPERCALL_XEN_VERSION, [OP_PLATFORM_PARAMETERS, low(&mut platform), 0]), 0);
    check_eq!(platform[1].virt_start, 0x7777_7777, "only 4 bytes are written");
    let mut entries = [E820Entry::zeroed(); 128];
    let mut map = MemoryMap::<X32>::zeroed();
    map.nr_entries = 128;
    map.buffer = Handle32::from_raw(low(&mut entries));
    check_eq!(call32(HYPERCALL_MEMORY_OP, [MEMORY_MAP, low(&mut map), 0]), 0);
    let wanted = boot_info::e820()?;
    check_eq!(map.nr_entries as usize, wanted.len());
    for (entry, wanted) in entries.iter().zip(wanted) {
        check_eq!((entry.addr.get(), entry.size.get(), entry.kind), (wanted.addr, wanted.size, wanted.kind));
    }
    let mut states = [RunstateInfo::<X32>::zeroed(); 2];
    check_eq!(call32(HYPERCALL_VCPU_OP, [OP_GET_RUNSTATE_INFO, 0, low(&mut states)]), 0);
    check_eq!(states[0].state, RUNSTATE_RUNNING);
    let entered = states[0].state_entry_time.get();
    check!(entered > 0 && entered <= clock::now(), "{entered}");
    check_eq!(states[1], RunstateInfo::<X32>::zeroed());
    Ok(())
}

/// What is in the upper halves of registers and what lies above 4 GiB does not matter.
pub fn halves() -> Outcome {
    let page = Page::new();
    let at = paging::map(30, page.address(), paging::PRESENT | paging::WRITABLE);
    check!(at >> 32 != 0);
    let result = call32(HYPERCALL_XEN_VERSION, [OP_PLATFORM_PARAMETERS, page.address() as u32, 0]);
    check_eq!(result, 0);
    check_eq!(page.get::<u32>(4), 0);
    paging::map(30, 0, 0);
    Ok(())
}

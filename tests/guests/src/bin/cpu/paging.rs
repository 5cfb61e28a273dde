//! The guest's own page tables work as the manuals say.
#![allow(unsafe_code, reason = "instructions that fault, and page tables")]

use test_guests::paging::{self, NO_EXECUTE, PRESENT, Page, WRITABLE};
use test_guests::suite::{self, Outcome};
use test_guests::trap::PAGE_FAULT;
use test_guests::{attempt, check, check_eq, cpu};

/// A top level of our own whose second slot shows memory in pages of 1 GiB.
pub fn large_pages() -> Outcome {
    if cpu::cpuid(0x8000_0001, 0).edx & 1 << 26 == 0 {
        return suite::skip("no pages of 1 GiB");
    }
    let (top, second, target) = (Page::new(), Page::new(), Page::new());
    let old = cpu::cr3();
    for slot in 0..512 {
        top.set(slot * 8, Page::at(old).get::<u64>(slot * 8));
    }
    top.set(2 * 8, second.address() | PRESENT | WRITABLE);
    second.set(0, 0x83_u64);
    target.set(0, 0x600d_u64);
    let read: u64;
    // SAFETY: the new tables map everything that the old ones do.
    unsafe {
        core::arch::asm!("mov cr3, {new}", "mov {v}, [{a}]", "mov cr3, {old}", new = in(reg) top.address(),
            old = in(reg) old, a = in(reg) (2_u64 << 39) + target.address(), v = out(reg) read);
    }
    check_eq!(read, 0x600d);
    Ok(())
}

pub fn no_execute() -> Outcome {
    let page = Page::new();
    page.set(0, 0xc3_u8);
    let good = paging::map(20, page.address(), PRESENT | WRITABLE);
    // SAFETY: the page holds a return.
    unsafe { core::arch::asm!("call {a}", a = in(reg) good) };
    let bad = paging::map(20, page.address(), PRESENT | WRITABLE | NO_EXECUTE);
    // SAFETY: fetching from the page faults.
    let fault = unsafe { attempt!("jmp {a}"; a = in(reg) bad) };
    check_eq!(fault.err().map(|t| (t.vector, t.error, t.address)), Some((PAGE_FAULT, 0x11, bad)));
    paging::map(20, 0, 0);
    Ok(())
}

/// Without CR0.WP, ring 0 writes where it may only read.
pub fn write_protect() -> Outcome {
    let page = Page::new();
    let readonly = paging::map(21, page.address(), PRESENT);
    let cr0 = cpu::cr0();
    cpu::set_cr0(cr0 & !(1 << 16))?;
    // SAFETY: the page is ours.
    let written = unsafe { attempt!("mov qword ptr [{a}], 5"; a = in(reg) readonly) };
    cpu::set_cr0(cr0)?;
    check!(written.is_ok(), "{written:?}");
    check_eq!(page.get::<u64>(0), 5);
    // SAFETY: now it faults.
    let refused = unsafe { attempt!("mov qword ptr [{a}], 6"; a = in(reg) readonly) };
    check!(refused.is_err_and(|trap| trap.vector == PAGE_FAULT));
    paging::map(21, 0, 0);
    Ok(())
}

/// The bits are set in the guest's tables, also by what the hypervisor does for it.
pub fn accessed_and_dirty() -> Outcome {
    let at = paging::map(22, Page::new().address(), PRESENT | WRITABLE);
    check_eq!(paging::entry(22) & 0x60, 0);
    // SAFETY: the page is ours.
    unsafe {
        attempt!("mov {v}, [{a}]"; v = out(reg) _, a = in(reg) at)?;
        check_eq!(paging::entry(22) & 0x60, 0x20, "accessed");
        attempt!("mov [{a}], {v}"; v = in(reg) 1_u64, a = in(reg) at)?;
    }
    check_eq!(paging::entry(22) & 0x60, 0x60, "accessed and dirty");
    paging::map(22, 0, 0);
    Ok(())
}

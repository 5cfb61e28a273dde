//! A guest that does its worst, in the way that its command line names. The hypervisor and the other guests go on; this
//! one dies if it has to, with a message that says of what, or ends by itself.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "instructions that no program should execute")]

mod rings;

use core::arch::asm;

use test_guests::abi::event_channel::{OP_SEND, Send};
use test_guests::abi::hvm::{VCPU_MODE_32B, VcpuHvm32, VcpuHvm64};
use test_guests::abi::plain::{Plain, Union};
use test_guests::abi::sched::{self, OP_WATCHDOG, Watchdog};
use test_guests::abi::vcpu::{OP_INITIALISE, OP_UP};
use test_guests::abi::xen::{CONSOLEIO_WRITE, DOMID_SELF, HYPERCALL_CONSOLE_IO, HYPERCALL_XEN_VERSION};
use test_guests::clock::{self, SECOND};
use test_guests::paging::Page;
use test_guests::{apic, boot_info, call, cpu, events, guest_program, say, suite};

/// How long the ones that never end by themselves go on: longer than others may be kept waiting.
const LONG: u64 = 4 * SECOND;

/// What this guest can do, by the command line's word.
const DEEDS: [(&str, fn()); 19] = [
    ("triple-fault", triple_fault),
    ("nowhere", nowhere),
    ("no-page-tables", no_page_tables),
    ("bad-page-tables", bad_page_tables),
    ("device-as-code", device_as_code),
    ("event-flood", event_flood),
    ("log-flood", log_flood),
    ("call-loop", call_loop),
    ("ipi-storm", ipi_storm),
    ("store-flood", rings::store),
    ("console-flood", rings::console),
    ("watchdog", watchdog),
    ("halt", halt),
    ("stack-in-hole", stack_in_hole),
    ("handlers-in-hole", handlers_in_hole),
    ("vectors-to-device", vectors_to_device),
    ("impossible-vcpu", impossible_vcpu),
    ("wild-vcpu", wild_vcpu),
    ("memory-taken-away", memory_taken_away),
];

guest_program!({
    let words = boot_info::command_line();
    for (name, deed) in DEEDS {
        if words.split_whitespace().any(|word| word == name) {
            say!("hostile: {name}");
            deed();
            say!("hostile: {name} is over");
        }
    }
    suite::shut_down(sched::SHUTDOWN_POWEROFF)
});

/// No table, no handler, no handler of that.
fn triple_fault() {
    let none = [0_u16; 5];
    // SAFETY: nothing comes after it.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &none) }
}

/// Off to where nothing is, with a stack that is nowhere either.
fn nowhere() {
    // SAFETY: as above.
    unsafe { asm!("mov rsp, {0}", "jmp {0}", in(reg) 0x7fff_dead_0000_u64, options(noreturn)) }
}

/// Page tables in memory that is not there.
fn no_page_tables() {
    // SAFETY: as above.
    unsafe { asm!("mov cr3, {}", in(reg) boot_info::hole(1).unwrap_or(0xd000_0000)) }
}

/// Page tables of ones: every bit that is reserved is set.
fn bad_page_tables() {
    let page = Page::new();
    page.fill(0xff);
    // SAFETY: as above.
    unsafe { asm!("mov cr3, {}", in(reg) page.address()) }
}

/// The local APIC's registers are no program.
fn device_as_code() {
    // SAFETY: as above.
    unsafe { asm!("jmp {}", in(reg) 0xfee0_0000_u64, options(noreturn)) }
}

/// Events to itself for seconds, on many ports.
fn event_flood() {
    let Ok(near) = events::alloc_unbound(DOMID_SELF) else { return };
    let Ok(far) = events::bind_loop(near) else { return };
    let end = clock::now() + LONG;
    while clock::now() < end {
        for _ in 0..1000 {
            let _ = call::event(OP_SEND, &mut Send { port: far });
            test_guests::shared::clear_pending(near);
        }
    }
}

/// Lines without number, in both ways: what the log keeps of them is the hypervisor's affair.
fn log_flood() {
    let mut text = *b"flood by console_io, which should drown nobody else's words\n";
    let end = clock::now() + LONG;
    let mut line = 0_u64;
    while clock::now() < end {
        say!("flood, line {line}");
        let _ = call::any(
            HYPERCALL_CONSOLE_IO,
            &[CONSOLEIO_WRITE.into(), text.len() as u64, call::address(&mut text)],
        );
        line += 1;
    }
}

fn call_loop() {
    let end = clock::now() + LONG;
    while clock::now() < end {
        for number in 0..1000 {
            let _ = call::any(HYPERCALL_XEN_VERSION, &[number]);
        }
    }
}

/// Interrupts to itself and to every number that an APIC could have; INIT and start-up, at any address, to the others.
fn ipi_storm() {
    apic::enable();
    let (own, end) = (apic::id(), clock::now() + LONG);
    while clock::now() < end {
        for id in (0..64).filter(|&id| id != own) {
            apic::send(id, 0x4500);
            apic::send(id, 0x4600 | id << 2);
        }
        for id in 0..256 {
            apic::send(id, 0x00f0);
        }
        apic::write(apic::ICR, 0xc_00f0);
    }
}

/// Waits for what cannot come.
fn halt() {
    cpu::stop()
}

/// Sets a watchdog and forgets it.
fn watchdog() {
    let _ = call::sched(OP_WATCHDOG, &mut Watchdog { id: 0, timeout: 1 });
    clock::wait(20 * SECOND, || false);
}

/// Gives the page back that its next instruction is on.
fn memory_taken_away() {
    let page = Page::new();
    page.fill(0x90);
    let mut op: test_guests::abi::memory::RemoveFromPhysmap =
        test_guests::abi::memory::RemoveFromPhysmap { domid: DOMID_SELF, _pad: [0; 6], gpfn: page.gfn() };
    let _ = call::memory(test_guests::abi::memory::REMOVE_FROM_PHYSMAP, &mut op);
    cpu::cli();
    // SAFETY: as above.
    unsafe { asm!("jmp {}", in(reg) page.address(), options(noreturn)) }
}

/// An exception whose frame goes to where nothing is.
fn stack_in_hole() {
    // SAFETY: as above.
    unsafe {
        asm!("mov rsp, {}", "int3", in(reg) boot_info::hole(2).unwrap_or(0xd000_0000) + 4096, options(noreturn))
    }
}

/// An exception whose handler is looked up where nothing is.
fn handlers_in_hole() {
    let mut table = [0_u16; 5];
    let hole = boot_info::hole(2).unwrap_or(0xd000_0000);
    table[0] = 0xfff;
    (table[1], table[2]) = (hole as u16, (hole >> 16) as u16);
    // SAFETY: as above.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &table) }
}

/// An instruction that no driver uses on a device.
fn vectors_to_device() {
    // SAFETY: as above.
    unsafe { asm!("movups [{}], xmm0", in(reg) 0xfee0_0000_u64) }
}

/// A vCPU whose code segment is one of data: a CPU may refuse to enter it.
fn wild_vcpu() {
    let mut regs = VcpuHvm32::zeroed();
    (regs.cr0, regs.tr_ar, regs.tr_limit) = (0x11, 0x8b, 0x67);
    (regs.cs_ar, regs.cs_limit) = (0xc91, u32::MAX);
    (regs.ds_ar, regs.es_ar, regs.ss_ar) = (0xc93, 0xc93, 0xc93);
    (regs.ds_limit, regs.es_limit, regs.ss_limit) = (u32::MAX, u32::MAX, u32::MAX);
    let mut context = test_guests::smp::context64();
    context.mode = VCPU_MODE_32B;
    context.cpu_regs = Union::new(regs);
    say!("hostile: {:?}", call::vcpu(OP_INITIALISE, 1, &mut context));
    let _ = call::vcpu_plain(OP_UP, 1);
    clock::wait(2 * SECOND, || false);
}

/// A second vCPU whose registers no processor can have: refused one by one, or the end.
fn impossible_vcpu() {
    for (cr0, cr4, efer) in
        [(u64::MAX, 0x20, 0xd00), (cpu::cr0(), u64::MAX, 0xd00), (cpu::cr0(), cpu::cr4(), u64::MAX)]
    {
        let mut context = test_guests::smp::context64();
        let mut regs: VcpuHvm64 = context.cpu_regs.get();
        (regs.cr0, regs.cr4, regs.efer) = (cr0, cr4, efer);
        context.cpu_regs.set(regs);
        let given = call::vcpu(OP_INITIALISE, 1, &mut context);
        say!("hostile: cr0 {cr0:#x}, cr4 {cr4:#x}, efer {efer:#x}: {given:?}");
        let _ = call::vcpu_plain(OP_UP, 1);
    }
    clock::wait(2 * SECOND, || false);
}

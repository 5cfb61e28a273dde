//! From the PVH entry to Rust: page tables, long mode, a stack, the hypercall page.
//!
//! The boot tables map the first 4 GiB one to one, for every ring, in 2 MiB pages. Slot 1 of the top level
//! leads to [`paging`](crate::paging)'s window.
#![allow(unsafe_code, reason = "the way into the program is not Rust")]

use core::arch::global_asm;
use core::sync::atomic::Ordering;

use hypercall_abi::guest;

use crate::{boot_info, cpu, heap, suite, trap};

global_asm!(
    ".pushsection .text.entry, \"ax\", @progbits",
    ".globl guest_entry32",
    ".code32",
    "guest_entry32:",
    "cld",
    "lea esp, [guest_stack_top]",
    "mov edi, ebx",
    "lea eax, [guest_pml4]",
    "mov cr3, eax",
    "call guest_long_mode",
    "push 8",
    "lea eax, [guest_entry64]",
    "push eax",
    "retf",
    // Turns on 64-bit mode and its segments; the caller has loaded CR3. Keeps EDI.
    ".globl guest_long_mode",
    "guest_long_mode:",
    "mov eax, cr4",
    "or eax, 0x620", // PAE, OSFXSR, OSXMMEXCPT
    "mov cr4, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900", // long mode, no-execute
    "wrmsr",
    "mov eax, cr0",
    "or eax, 0x80010022", // paging, write protection, native FPU errors
    "and eax, 0x9ffffff3", // caches on, FPU usable
    "mov cr0, eax",
    "lgdt [guest_gdtr]",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "xor eax, eax",
    "mov fs, eax",
    "mov gs, eax",
    "ret",
    ".code64",
    "guest_entry64:",
    "lea rsp, [guest_stack_top]",
    "xor ebp, ebp",
    "mov edi, edi",
    "call {start}",
    "ud2",
    ".popsection",
    ".pushsection .data.tables, \"aw\", @progbits",
    ".balign 4096",
    ".globl guest_pml4",
    "guest_pml4:",
    ".quad guest_pdpt + 7",
    ".quad guest_window_pdpt + 7",
    ".fill 510, 8, 0",
    "guest_pdpt:",
    ".quad guest_pds + 0x0007",
    ".quad guest_pds + 0x1007",
    ".quad guest_pds + 0x2007",
    ".quad guest_pds + 0x3007",
    ".fill 508, 8, 0",
    "guest_pds:",
    ".set page, 0x87",
    ".rept 2048",
    ".quad page",
    ".set page, page + 0x200000",
    ".endr",
    "guest_window_pdpt:",
    ".quad guest_window_pd + 7",
    ".fill 511, 8, 0",
    "guest_window_pd:",
    ".quad guest_window_pt + 7",
    ".fill 511, 8, 0",
    ".globl guest_window_pt",
    "guest_window_pt:",
    ".fill 512, 8, 0",
    "guest_gdt:",
    ".quad 0",
    ".quad 0x00af9b000000ffff", // 0x08: 64-bit code
    ".quad 0x00cf93000000ffff", // 0x10: data
    ".quad 0x00cf9b000000ffff", // 0x18: 32-bit code
    "guest_gdt_end:",
    ".globl guest_gdtr",
    "guest_gdtr:",
    ".word guest_gdt_end - guest_gdt - 1",
    ".quad guest_gdt",
    ".popsection",
    ".pushsection .bss.stack, \"aw\", @nobits",
    ".balign 16",
    ".skip 0x10000",
    "guest_stack_top:",
    ".popsection",
    start = sym start,
);

unsafe extern "Rust" {
    /// The program; [`guest_program!`](crate::guest_program) defines it.
    safe fn guest_main() -> !;
}

extern "C" fn start(start_info: u64) -> ! {
    boot_info::START_INFO.store(start_info, Ordering::Relaxed);
    heap::init();
    cpu::init(0);
    trap::init();
    match guest::cpuid_base() {
        // SAFETY: ring 0 under that hypervisor, and memory is mapped one to one.
        Some(base) => unsafe { guest::install(base, guest::hypercall_page() as u64) },
        None => suite::die(format_args!("no Xen interface in CPUID")),
    }
    guest_main()
}

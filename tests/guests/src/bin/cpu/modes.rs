//! 32-bit kernels: protected mode without paging, with two-level page tables and with PAE ones. Calls and other exits
//! come from there as from 64-bit code, and pointers are looked up in these tables.
#![allow(unsafe_code, reason = "changing the processor's mode")]

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use test_guests::abi::errno::Errno;
use test_guests::abi::memory::{CURRENT_RESERVATION, MEMORY_MAP, MemoryMap};
use test_guests::abi::version::OP_VERSION;
use test_guests::abi::xen::*;
use test_guests::abi::{Handle32, Plain, X32, guest};
use test_guests::paging::{PRESENT, Page, WRITABLE};
use test_guests::suite::Outcome;
use test_guests::trap::CODE32;
use test_guests::{apic, boot_info, call, check, check_eq, cpu};

/// What the code below works with, by its address in ESI. No exception may happen there: the interrupt table is for
/// 64-bit mode.
#[repr(C)]
#[derive(Default)]
struct Job {
    cr0: u32,
    cr3: u32,
    cr4: u32,
    entry: u32,
    arguments: [u32; 3],
    results: [u32; 2],
    old_cr0: u32,
    old_cr3: u32,
    old_cr4: u32,
    old_efer: u32,
}

global_asm!(
    ".pushsection .text.modes, \"ax\", @progbits",
    ".code32",
    ".globl guest_in_mode",
    "guest_in_mode:", // entered by a far call: compatibility mode
    "mov eax, cr4",
    "mov [esi + {old_cr4}], eax",
    "mov eax, cr3",
    "mov [esi + {old_cr3}], eax",
    "mov eax, cr0",
    "mov [esi + {old_cr0}], eax",
    "and eax, 0x7fffffff",
    "mov cr0, eax", // leaves long mode
    "mov ecx, 0xc0000080",
    "rdmsr",
    "and eax, 0xfffffbff", // long mode active is the processor's to say
    "mov [esi + {old_efer}], eax",
    "and eax, 0xfffffeff",
    "wrmsr",
    "mov eax, [esi + {cr4}]",
    "mov cr4, eax",
    "mov eax, [esi + {cr3}]",
    "mov cr3, eax",
    "mov eax, [esi + {cr0}]",
    "mov cr0, eax",
    "mov ebx, [esi + {arguments}]",
    "mov ecx, [esi + {arguments} + 4]",
    "mov edx, [esi + {arguments} + 8]",
    "call [esi + {entry}]",
    "mov [esi + {results}], eax",
    "mov [esi + {results} + 4], ebx",
    "mov eax, cr0",
    "and eax, 0x7fffffff",
    "mov cr0, eax",
    "mov eax, [esi + {old_cr4}]",
    "mov cr4, eax",
    "mov eax, [esi + {old_cr3}]",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "mov eax, [esi + {old_efer}]",
    "wrmsr",
    "mov eax, [esi + {old_cr0}]",
    "mov cr0, eax",
    "retf",
    ".globl guest_probe_cpuid",
    "guest_probe_cpuid:",
    "mov eax, ebx",
    "cpuid",
    "ret",
    ".globl guest_probe_msr",
    "guest_probe_msr:",
    "mov ecx, ebx",
    "rdmsr",
    "ret",
    ".globl guest_probe_memory",
    "guest_probe_memory:",
    "mov eax, [ebx]",
    "ret",
    ".globl guest_probe_port",
    "guest_probe_port:",
    "mov edx, ebx",
    "xor eax, eax",
    "in al, dx",
    "ret",
    ".code64",
    ".popsection",
    cr0 = const offset_of!(Job, cr0),
    cr3 = const offset_of!(Job, cr3),
    cr4 = const offset_of!(Job, cr4),
    entry = const offset_of!(Job, entry),
    arguments = const offset_of!(Job, arguments),
    results = const offset_of!(Job, results),
    old_cr0 = const offset_of!(Job, old_cr0),
    old_cr3 = const offset_of!(Job, old_cr3),
    old_cr4 = const offset_of!(Job, old_cr4),
    old_efer = const offset_of!(Job, old_efer),
);

unsafe extern "C" {
    static guest_in_mode: u8;
    static guest_probe_cpuid: u8;
    static guest_probe_msr: u8;
    static guest_probe_memory: u8;
    static guest_probe_port: u8;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Unpaged,
    TwoLevel,
    Pae,
}

const MODES: [Mode; 3] = [Mode::Unpaged, Mode::TwoLevel, Mode::Pae];
const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const LARGE: u64 = 1 << 7;

/// Where the paged modes have one page of the test's choice, and nothing behind it.
const WINDOW: u32 = 0x8000_0000;

impl Mode {
    /// Control registers 0, 3 and 4. Memory is mapped one to one; the window shows `page`.
    fn registers(self, page: Page) -> (u64, u64, u64) {
        let (cr0, cr4) = (cpu::cr0(), cpu::cr4());
        let leaf = page.address() | PRESENT | WRITABLE;
        match self {
            Self::Unpaged => (cr0 & !CR0_PG, 0, cr4 & !CR4_PAE),
            Self::TwoLevel => {
                let (top, table) = (Page::new(), Page::new());
                for i in 0..1024_u32 {
                    top.set(u64::from(i) * 4, i << 22 | (LARGE | PRESENT | WRITABLE) as u32);
                }
                table.set(0, leaf as u32);
                let slot = u64::from(WINDOW >> 22);
                top.set(slot * 4, (table.address() | PRESENT | WRITABLE) as u32);
                (cr0, top.address(), cr4 & !CR4_PAE | CR4_PSE)
            }
            Self::Pae => {
                let (top, second, table) = (Page::new(), Page::new(), Page::new());
                // The directories of the boot tables, one for each GiB.
                let boot = Page::at(Page::at(cpu::cr3()).get::<u64>(0));
                for i in 0..4 {
                    top.set(i * 8, boot.get::<u64>(i * 8) & !0xfff | PRESENT);
                }
                top.set(u64::from(WINDOW >> 30) * 8, second.address() | PRESENT);
                second.set(0, table.address() | PRESENT | WRITABLE);
                table.set(0, leaf);
                (cr0, top.address(), cr4)
            }
        }
    }

    /// Calls code in this mode; its results in EAX and EBX.
    fn run(self, entry: u32, arguments: [u32; 3], page: Page) -> (u32, u32) {
        let (cr0, cr3, cr4) = self.registers(page);
        let (cr0, cr3, cr4) = (cr0 as u32, cr3 as u32, cr4 as u32);
        let mut job = Job { cr0, cr3, cr4, entry, arguments, ..Job::default() };
        let target = [(&raw const guest_in_mode).addr() as u32, u32::from(CODE32)];
        let pointer = &raw mut job;
        // SAFETY: everything that the code uses lies below 4 GiB, mapped one to one in all modes; interrupts are off.
        unsafe {
            asm!("push rbx", "push rbp", "call fword ptr [{target}]", "pop rbp", "pop rbx",
                 target = in(reg) &raw const target, in("rsi") pointer, out("rax") _, out("rcx") _, out("rdx") _,
                 lateout("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
                 out("r13") _, out("r14") _, out("r15") _);
            let job = pointer.read_volatile();
            (job.results[0], job.results[1])
        }
    }

    fn call(self, call: u32, arguments: [u32; 3], page: Page) -> i32 {
        let entry = guest::hypercall_page() as u32 + call * 32;
        self.run(entry, arguments, page).0.cast_signed()
    }
}

fn low<T>(value: &mut T) -> u32 {
    (&raw mut *value).expose_provenance() as u32
}

pub fn hypercalls() -> Outcome {
    let mut domain = DOMID_SELF;
    let pages = call::memory(CURRENT_RESERVATION, &mut domain)? as i32;
    let page = Page::new();
    for mode in MODES {
        check_eq!(mode.call(HYPERCALL_XEN_VERSION, [OP_VERSION, 0, 0], page), 4 << 16 | 17, "{mode:?}");
        check_eq!(mode.call(60, [0; 3], page), -(Errno::ENOSYS as i32), "{mode:?}");
        let told = mode.call(HYPERCALL_MEMORY_OP, [CURRENT_RESERVATION, low(&mut domain), 0], page);
        check_eq!(told, pages, "{mode:?}");
        // A structure in the 32-bit layout, with a pointer in it.
        let list = Page::new();
        let mut map = MemoryMap::<X32>::zeroed();
        (map.nr_entries, map.buffer) = (200, Handle32::from_raw(list.address() as u32));
        check_eq!(mode.call(HYPERCALL_MEMORY_OP, [MEMORY_MAP, low(&mut map), 0], page), 0, "{mode:?}");
        check_eq!(core::hint::black_box(map).nr_entries as usize, boot_info::e820()?.len(), "{mode:?}");
    }
    Ok(())
}

pub fn pointers() -> Outcome {
    let page = Page::new();
    page.set(0, DOMID_SELF);
    page.set(4094, DOMID_SELF);
    let hole = boot_info::hole(1).unwrap_or(0xd000_0000) as u32;
    for mode in MODES {
        let ask = |at: u32| mode.call(HYPERCALL_MEMORY_OP, [CURRENT_RESERVATION, at, 0], page);
        let fault = -(Errno::EFAULT as i32);
        check_eq!(ask(hole), fault, "{mode:?}, where nothing is");
        check_eq!(ask(u32::MAX), fault, "{mode:?}, across the end of memory");
        if mode == Mode::Unpaged {
            check!(ask(page.address() as u32) > 0);
            continue;
        }
        check!(ask(WINDOW) > 0 && ask(WINDOW + 4094) > 0, "{mode:?}");
        check_eq!(ask(WINDOW + 4095), fault, "{mode:?}, across the end of the page");
        check_eq!(ask(WINDOW + 4096), fault, "{mode:?}, on the page behind it");
    }
    Ok(())
}

/// CPUID, RDMSR, ports, and the local APIC's registers, for which the instruction is read and emulated.
pub fn other_exits() -> Outcome {
    let page = Page::new();
    let base = guest::cpuid_base().unwrap_or_default();
    let address = |code: *const u8| code.addr() as u32;
    let version = apic::read_memory(apic::VERSION);
    for mode in MODES {
        let run = |code: *const u8, argument: u32| mode.run(address(code), [argument, 0, 0], page);
        let told = run(&raw const guest_probe_cpuid, base);
        check_eq!(told, (cpu::cpuid(base, 0).eax, cpu::cpuid(base, 0).ebx), "{mode:?}");
        let told = run(&raw const guest_probe_msr, cpu::MSR_APIC_BASE);
        check_eq!(u64::from(told.0), cpu::rdmsr(cpu::MSR_APIC_BASE)?, "{mode:?}");
        let told = run(&raw const guest_probe_port, 0x7f00);
        check_eq!(told.0, 0xff, "{mode:?}");
        let told = run(&raw const guest_probe_memory, 0xfee0_0030);
        check_eq!(told.0, version, "{mode:?}");
    }
    Ok(())
}

//! Other CPUs: started by INIT-SIPI or by `vcpu_op`, they run one function each and stop.
#![allow(unsafe_code, reason = "the way into Rust of other CPUs")]

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::hvm::{VCPU_MODE_64B, VcpuHvm64, VcpuHvmContext};
use hypercall_abi::plain::{Plain, Union};
use hypercall_abi::vcpu;
use spin::Mutex;

use crate::call::{self, Answer};
use crate::cpu::{self, MAX_CPUS};
use crate::paging::Page;
use crate::{apic, clock, suite, trap};

/// Where a CPU starts in real mode. RAM in every domain, and nothing of the guest is there.
const TRAMPOLINE: u64 = 0x8000;

global_asm!(
    ".pushsection .rodata.trampoline, \"a\", @progbits",
    ".code16",
    "guest_trampoline:",
    "cli",
    "xor ax, ax",
    "mov ds, ax",
    "lgdt [0x8040]",
    "mov eax, cr0",
    "or al, 1",
    "mov cr0, eax",
    ".byte 0x66, 0xea", // far jump to 32-bit code
    ".long guest_ap_entry32",
    ".word 0x18",
    ".org guest_trampoline + 0x40", // the register image that LGDT reads
    ".word 0x1f",
    ".long guest_trampoline_gdt - guest_trampoline + 0x8000",
    ".balign 8",
    "guest_trampoline_gdt:",
    ".quad 0",
    ".quad 0x00af9b000000ffff",
    ".quad 0x00cf93000000ffff",
    ".quad 0x00cf9b000000ffff",
    "guest_trampoline_end:",
    ".popsection",
    ".pushsection .text.entry, \"ax\", @progbits",
    ".code32",
    "guest_ap_entry32:",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "lea esp, [guest_ap_stacks + 0x4000]", // used for two words; each CPU gets its own below
    "lea eax, [guest_pml4]",
    "mov cr3, eax",
    "call guest_long_mode",
    "push 8",
    "lea eax, [guest_ap_entry64]",
    "push eax",
    "retf",
    ".code64",
    ".globl guest_ap_entry64",
    "guest_ap_entry64:",
    "mov eax, 1",
    "lock xadd [{next}], rax",
    "mov rdi, rax",
    "shl eax, 14",
    "lea rsp, [guest_ap_stacks]",
    "add rsp, rax",
    "xor ebp, ebp",
    "call {start}",
    "ud2",
    ".popsection",
    ".pushsection .bss.stack, \"aw\", @nobits",
    ".balign 16",
    "guest_ap_stacks:",
    ".skip 0x4000 * {cpus}",
    ".popsection",
    next = sym NEXT,
    start = sym start,
    cpus = const MAX_CPUS,
);

unsafe extern "C" {
    static guest_trampoline: u8;
    static guest_trampoline_end: u8;
    fn guest_ap_entry64();
}

/// The next CPU's number; also which stack it gets.
static NEXT: AtomicU64 = AtomicU64::new(1);
static WORK: Mutex<Option<fn()>> = Mutex::new(None);
static STARTED: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

extern "C" fn start(number: u64) -> ! {
    cpu::init(number as usize);
    trap::load();
    let work = WORK.lock().take();
    STARTED.fetch_add(1, Ordering::SeqCst);
    if let Some(work) = work {
        let outcome = trap::protect(work);
        if let Err(reason) = outcome {
            crate::say!("CPU {number}: {reason}");
        }
    }
    DONE.fetch_add(1, Ordering::SeqCst);
    cpu::stop()
}

/// How many CPUs have started and how many are done.
#[must_use]
pub fn counts() -> (u64, u64) {
    (STARTED.load(Ordering::SeqCst), DONE.load(Ordering::SeqCst))
}

/// Starts a CPU by INIT-SIPI; it runs `work`. Returns whether it got there.
pub fn start_by_sipi(apic_id: u32, work: fn()) -> bool {
    let length = (&raw const guest_trampoline_end).addr() - (&raw const guest_trampoline).addr();
    // SAFETY: the page is RAM that nothing else uses, and the code fits.
    unsafe {
        core::ptr::copy_nonoverlapping(&raw const guest_trampoline, TRAMPOLINE as *mut u8, length);
    }
    let before = counts().0;
    *WORK.lock() = Some(work);
    apic::send(apic_id, 0x4500);
    clock::wait(10 * clock::MILLISECOND, || false);
    apic::send(apic_id, 0x4600 | (TRAMPOLINE >> 12) as u32);
    if clock::wait(100 * clock::MILLISECOND, || counts().0 > before) {
        return true;
    }
    apic::send(apic_id, 0x4600 | (TRAMPOLINE >> 12) as u32);
    clock::wait(clock::SECOND, || counts().0 > before)
}

/// The registers with which a vCPU starts in 64-bit mode like one that came through the trampoline.
#[must_use]
pub fn context64() -> VcpuHvmContext {
    let mut regs = VcpuHvm64::zeroed();
    regs.rip = guest_ap_entry64 as *const () as u64;
    regs.rflags = 2;
    regs.cr0 = cpu::cr0();
    regs.cr3 = cpu::cr3();
    regs.cr4 = cpu::cr4();
    regs.efer = 0xd00;
    regs.rsp = Page::new().address() + 4096;
    VcpuHvmContext { mode: VCPU_MODE_64B, pad: 0, cpu_regs: Union::new(regs) }
}

/// Starts a vCPU with `vcpu_op`; it runs `work`. Returns whether it got there.
pub fn start_by_call(vcpu: u32, work: fn()) -> Result<bool, hypercall_abi::guest::HypercallError> {
    let before = counts().0;
    *WORK.lock() = Some(work);
    call::vcpu(vcpu::OP_INITIALISE, vcpu, &mut context64())?;
    call::vcpu_plain(vcpu::OP_UP, vcpu)?;
    Ok(clock::wait(clock::SECOND, || counts().0 > before))
}

/// How many vCPUs the domain has.
#[must_use]
pub fn vcpus() -> u32 {
    let exists = |vcpu: &u32| is_up(*vcpu).is_ok();
    (0..MAX_CPUS as u32).take_while(exists).count() as u32
}

/// Whether a vCPU is up.
pub fn is_up(vcpu: u32) -> Answer {
    call::vcpu_plain(vcpu::OP_IS_UP, vcpu)
}

/// Fails the test unless there are at least `count` vCPUs.
pub fn need(count: u32) -> suite::Outcome {
    if vcpus() < count { suite::skip("too few vCPUs") } else { Ok(()) }
}

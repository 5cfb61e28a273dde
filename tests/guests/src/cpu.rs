//! The CPU: instructions as functions, and what each CPU has of its own.
#![allow(unsafe_code, reason = "privileged instructions, and a block of memory per CPU")]

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _rdtsc, CpuidResult};
use core::cell::UnsafeCell;

use crate::attempt;
use crate::trap::Trap;

/// CPUs that a guest may start.
pub const MAX_CPUS: usize = 128;

pub const MSR_APIC_BASE: u32 = 0x1b;
pub const MSR_TSC_DEADLINE: u32 = 0x6e0;
pub const MSR_EFER: u32 = 0xc000_0080;
pub const MSR_GS_BASE: u32 = 0xc000_0101;

/// Offsets in [`PerCpu`], for assembly.
pub(crate) const RECOVER: usize = 0;
pub(crate) const LANDING: usize = 8;

/// What GS points to. Assembly knows the first two fields.
#[repr(C)]
pub(crate) struct PerCpu {
    /// Where an exception resumes; 0 if none is expected.
    pub recover: u64,
    /// The stack pointer of the innermost protected call; 0 if there is none.
    pub landing: u64,
    /// The exception that happened last.
    pub trap: Option<Trap>,
    pub index: usize,
}

struct Blocks(UnsafeCell<[PerCpu; MAX_CPUS]>);

// SAFETY: each CPU uses its own element only.
unsafe impl Sync for Blocks {}

static BLOCKS: Blocks =
    Blocks(UnsafeCell::new([const { PerCpu { recover: 0, landing: 0, trap: None, index: 0 } }; MAX_CPUS]));

/// Makes the running CPU number `index`. Numbers are given once.
pub(crate) fn init(index: usize) {
    assert!(index < MAX_CPUS);
    // SAFETY: in bounds, and the element is this CPU's.
    let block = unsafe { BLOCKS.0.get().cast::<PerCpu>().add(index) };
    // SAFETY: as above; GS is used for nothing else.
    unsafe {
        (*block).index = index;
        asm!("wrmsr", in("ecx") MSR_GS_BASE, in("eax") block as u32, in("edx") (block as u64 >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

/// Runs `f` on the running CPU's block; `f` must not fault.
pub(crate) fn with<T>(f: impl FnOnce(&mut PerCpu) -> T) -> T {
    let (low, high): (u32, u32);
    // SAFETY: reads a register that `init` has set.
    unsafe {
        asm!("rdmsr", in("ecx") MSR_GS_BASE, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags));
    }
    let block = (u64::from(high) << 32 | u64::from(low)) as *mut PerCpu;
    // SAFETY: this CPU's element; exception handlers use it only while no other borrow is alive, because
    // the borrowing code does not fault.
    f(unsafe { &mut *block })
}

/// The running CPU's number, 0 for the one that started first.
#[must_use]
pub fn index() -> usize {
    with(|cpu| cpu.index)
}

/// The time stamp counter.
#[must_use]
pub fn tsc() -> u64 {
    // SAFETY: an instruction without preconditions.
    unsafe { _rdtsc() }
}

#[must_use]
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// Reads an MSR, or says how that faulted.
pub fn rdmsr(msr: u32) -> Result<u64, Trap> {
    let (low, high): (u32, u32);
    // SAFETY: reading an MSR changes nothing that the program relies on.
    unsafe { attempt!("rdmsr"; in("ecx") msr, inout("eax") 0_u32 => low, inout("edx") 0_u32 => high) }?;
    Ok(u64::from(high) << 32 | u64::from(low))
}

/// Writes an MSR, or says how that faulted. The caller knows what the MSR does.
pub fn wrmsr(msr: u32, value: u64) -> Result<(), Trap> {
    // SAFETY: tests write registers that the program does not depend on, or the value it depends on.
    unsafe { attempt!("wrmsr"; in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32) }
}

/// Writes a byte to a port.
pub fn out8(port: u16, value: u8) {
    // SAFETY: what devices do cannot reach the program's memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads a byte from a port.
#[must_use]
pub fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: as for `out8`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Reads 16 bits from a port.
#[must_use]
pub fn in16(port: u16) -> u16 {
    let value;
    // SAFETY: as for `out8`.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Reads 32 bits from a port.
#[must_use]
pub fn in32(port: u16) -> u32 {
    let value;
    // SAFETY: as for `out8`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Writes 32 bits to a port.
pub fn out32(port: u16, value: u32) {
    // SAFETY: as for `out8`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

/// Lets interrupts in.
pub fn sti() {
    // SAFETY: the descriptor tables are set up before any test runs.
    unsafe { asm!("sti", options(nostack)) }
}

/// Keeps interrupts out.
pub fn cli() {
    // SAFETY: no memory is concerned.
    unsafe { asm!("cli", options(nostack)) }
}

/// What a loop that waits does in between. Interrupts stay as they are.
///
/// Bochs 2.7 on VT-x: a guest that was entered with interrupts off is not interrupted by those of the hypervisor either,
/// until it changes IF. STI and CLI in one breath let nothing in.
pub fn relax() {
    // SAFETY: as for `sti`; CLI follows in the shadow of STI where interrupts were off.
    unsafe {
        asm!("pause", "pushfq", "bt qword ptr [rsp], 9", "jc 2f", "sti", "cli", "2:", "popfq");
    }
}

/// Lets interrupts in and waits for one.
pub fn sti_hlt() {
    // SAFETY: as for `sti`.
    unsafe { asm!("sti", "hlt", options(nostack)) }
}

/// Stops this CPU for good.
pub fn stop() -> ! {
    loop {
        // SAFETY: nothing comes after it but another one.
        unsafe { asm!("cli", "hlt", options(nostack)) }
    }
}

/// Control register 0.
#[must_use]
pub fn cr0() -> u64 {
    let value;
    // SAFETY: a read.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Control register 3.
#[must_use]
pub fn cr3() -> u64 {
    let value;
    // SAFETY: a read.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Control register 4.
#[must_use]
pub fn cr4() -> u64 {
    let value;
    // SAFETY: a read.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Writes control register 0, or says how that faulted.
pub fn set_cr0(value: u64) -> Result<(), Trap> {
    // SAFETY: tests change bits that the program does not depend on.
    unsafe { attempt!("mov cr0, {value}"; value = in(reg) value) }
}

/// Writes control register 4, or says how that faulted.
pub fn set_cr4(value: u64) -> Result<(), Trap> {
    // SAFETY: as for `set_cr0`.
    unsafe { attempt!("mov cr4, {value}"; value = in(reg) value) }
}

/// Forgets cached translations.
pub fn flush_tlb() {
    // SAFETY: the same tables are loaded again.
    unsafe { asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags)) }
}

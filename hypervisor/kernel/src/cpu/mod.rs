//! The CPUs: what they can do, their tables, their own data, what interrupts them.

pub mod control;
mod features;
pub mod interrupt;
pub mod msr;
mod percpu;
pub mod port;
pub mod stack;
pub mod tables;

pub use features::features;

/// CPUID: EAX, EBX, ECX, EDX.
#[inline]
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let regs = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    [regs.eax, regs.ebx, regs.ecx, regs.edx]
}
pub use percpu::{Cpu, all, online, set_all, this, try_this};

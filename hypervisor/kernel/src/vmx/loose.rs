//! The registers that neither a VMCS holds nor the hypervisor uses. They are in the CPU's own from
//! [`load`](LooseRegisters::load) to [`save`](LooseRegisters::save), as are those of `guest::SwitchedState`: so no entry and
//! no exit moves them, and the lists of MSRs that a VMCS may have are empty.

#![allow(unsafe_code, reason = "writes registers of the guest")]

use core::arch::asm;

use tenon_core::guest_cpu::EntryMsrs;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::Msr;

const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const CSTAR: u32 = 0xc000_0083;
const SFMASK: u32 = 0xc000_0084;
const KERNEL_GS_BASE: u32 = 0xc000_0102;

/// The values while they are not in the CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct LooseRegisters {
    pub cr2: u64,
    pub dr6: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
}

impl LooseRegisters {
    /// As a vCPU's state has them, made such that the CPU takes them.
    pub fn new(cr2: u64, dr6: u64, entry: &EntryMsrs) -> Self {
        Self {
            cr2,
            dr6: dr6 & 0xffff_ffff,
            star: entry.star,
            lstar: canonical(entry.lstar),
            cstar: canonical(entry.cstar),
            sfmask: entry.sfmask & 0xffff_ffff,
            kernel_gs_base: canonical(entry.kernel_gs_base),
        }
    }

    /// Puts them into this CPU.
    pub fn load(&self) {
        // SAFETY: the hypervisor takes no page fault that it survives, sets no breakpoint, and uses neither SYSCALL nor
        // SWAPGS. `new` and the CPU itself have made the values such that none is refused.
        unsafe {
            asm!("mov cr2, {}", in(reg) self.cr2, options(nomem, nostack, preserves_flags));
            asm!("mov dr6, {}", in(reg) self.dr6, options(nomem, nostack, preserves_flags));
            for (msr, value) in [
                (STAR, self.star),
                (LSTAR, self.lstar),
                (CSTAR, self.cstar),
                (SFMASK, self.sfmask),
                (KERNEL_GS_BASE, self.kernel_gs_base),
            ] {
                Msr::new(msr).write(value);
            }
        }
    }

    /// What this CPU has.
    pub fn save() -> Self {
        // SAFETY: these exist on every CPU with long mode; reading changes nothing.
        let [star, lstar, cstar, sfmask, kernel_gs_base] =
            [STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE].map(|msr| unsafe { Msr::new(msr).read() });
        Self { cr2: cr2(), dr6: dr6(), star, lstar, cstar, sfmask, kernel_gs_base }
    }
}

/// CR2. Without effects, so that it is not read where nobody needs it.
#[inline(always)]
pub fn cr2() -> u64 {
    let value;
    // SAFETY: a read.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(pure, readonly, nostack, preserves_flags)) };
    value
}

/// DR6.
fn dr6() -> u64 {
    let value;
    // SAFETY: a read.
    unsafe { asm!("mov {}, dr6", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Notes the causes of a debug exception in DR6, as its delivery would have.
pub fn note_debug_causes(causes: u64) {
    let value = dr6() & !0xf | causes;
    // SAFETY: causes are bits that DR6 has; the hypervisor sets no breakpoint.
    unsafe { asm!("mov dr6, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
}

/// The address with its upper bits as the CPU wants them.
pub fn canonical(address: u64) -> u64 {
    VirtAddr::new_truncate(address).as_u64()
}

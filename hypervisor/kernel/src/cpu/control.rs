//! A CPU's control registers, set the same on every CPU.
#![allow(unsafe_code, reason = "writes control registers")]

use tenon_core::options::Options;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;

use super::features;

const IA32_PAT: u32 = 0x277;
/// Write-back, write-combining, uncached (weak), uncached; then write-back, write-protected, uncached (weak),
/// write-through. [`crate::mm::vmap::Caching`] depends on the first four.
const PAT: u64 = 0x0407_0506_0007_0106;

/// Sets paging features, protections and floating point up as the hypervisor wants them.
///
/// # Safety
/// Once per CPU, early: before mappings depend on NX or on the PAT, and with no user-accessible page in use.
pub unsafe fn init(options: &Options<'_>) {
    let features = features();
    // SAFETY: NX becomes valid in page-table entries; no entry has the bit set by mistake.
    unsafe { Efer::update(|efer| efer.set(EferFlags::NO_EXECUTE_ENABLE, features.nx)) };
    // SAFETY: caches stay on, write protection holds for the hypervisor too; the FPU is there for the guests' sake.
    unsafe {
        Cr0::update(|cr0| {
            cr0.remove(Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
            cr0.remove(Cr0Flags::CACHE_DISABLE | Cr0Flags::NOT_WRITE_THROUGH);
            cr0.insert(Cr0Flags::WRITE_PROTECT | Cr0Flags::NUMERIC_ERROR | Cr0Flags::MONITOR_COPROCESSOR);
        });
    }
    // SAFETY: each bit is set only where the CPU has the feature; no page is user-accessible, so SMEP and SMAP
    // forbid nothing that we do.
    unsafe {
        Cr4::update(|cr4| {
            cr4.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE | Cr4Flags::MACHINE_CHECK_EXCEPTION);
            cr4.set(Cr4Flags::OSXSAVE, features.xsave);
            cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features.smep && options.smep);
            cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features.smap && options.smap);
            cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, features.umip);
        });
    }
    if features.pat {
        // SAFETY: entries 0, 2 and 3 keep their meaning, and no mapping uses the others yet.
        unsafe { Msr::new(IA32_PAT).write(PAT) };
    }
}

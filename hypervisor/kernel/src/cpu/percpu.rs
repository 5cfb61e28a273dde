//! Each CPU's own data.
//!
//! GS holds the address of the CPU's [`Cpu`] whenever hypervisor code runs with interrupts or NMIs possible; a
//! backend that lets a guest have GS restores it before anything else.
#![allow(unsafe_code, reason = "reads the GS base")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Once;
use tenon_core::ids::{CpuId, DomId, VcpuId};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::tables::Tables;
use crate::mm::paging::MapError;
use crate::mm::vmap;

/// Bytes of the stack that a CPU runs on.
pub const STACK_BYTES: usize = 32 * 1024;
/// Bytes of each stack for NMIs, double faults and machine checks.
pub const EMERGENCY_STACK_BYTES: usize = 16 * 1024;
/// How many of these there are.
pub const EMERGENCY_STACKS: usize = 3;

/// What belongs to one CPU.
#[repr(C)]
pub struct Cpu {
    /// The structure's own address, read through GS.
    this: *const Cpu,
    /// Its index.
    pub id: CpuId,
    /// Its local APIC id.
    pub apic_id: u32,
    /// The processor's UID in the ACPI tables.
    pub acpi_uid: u32,
    /// Whether it has come up.
    pub online: AtomicBool,
    /// Who runs: see [`Cpu::running`].
    running: AtomicU64,
    stack_top: u64,
    emergency_tops: [u64; EMERGENCY_STACKS],
    tables: Tables,
}

// SAFETY: `this` is a constant; the tables are built before the CPU starts and then only read by the CPU itself.
unsafe impl Sync for Cpu {}
// SAFETY: as above.
unsafe impl Send for Cpu {}

const NOBODY: u64 = u64::MAX;

static CPUS: Once<Vec<&'static Cpu>> = Once::new();

impl Cpu {
    /// Makes the data of a CPU that has yet to start, stacks included.
    ///
    /// # Errors
    /// [`MapError`], where memory is short.
    pub fn new(id: CpuId, apic_id: u32, acpi_uid: u32) -> Result<&'static Self, MapError> {
        let stack_top = vmap::stack(STACK_BYTES)?;
        let mut emergency_tops = [0; EMERGENCY_STACKS];
        for top in &mut emergency_tops {
            *top = vmap::stack(EMERGENCY_STACK_BYTES)?;
        }
        let cpu = Box::leak(Box::new(Self {
            this: core::ptr::null(),
            id,
            apic_id,
            acpi_uid,
            online: AtomicBool::new(false),
            running: AtomicU64::new(NOBODY),
            stack_top,
            emergency_tops,
            tables: Tables::new(emergency_tops),
        }));
        cpu.this = cpu;
        cpu.tables.link();
        Ok(cpu)
    }

    /// The top of its stack.
    pub fn stack_top(&self) -> u64 {
        self.stack_top
    }

    /// All its stacks.
    pub fn stacks(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let own = self.stack_top - STACK_BYTES as u64..self.stack_top;
        let emergency = self.emergency_tops.iter().map(|top| top - EMERGENCY_STACK_BYTES as u64..*top);
        core::iter::once(own).chain(emergency)
    }

    /// The domain and vCPU that it runs, for whoever has to name a culprit.
    pub fn running(&self) -> Option<(DomId, VcpuId)> {
        let word = self.running.load(Ordering::Relaxed);
        (word != NOBODY).then_some((DomId((word >> 32) as u16), VcpuId(word as u32)))
    }

    /// Notes who runs.
    pub fn set_running(&self, who: Option<(DomId, VcpuId)>) {
        let word = who.map_or(NOBODY, |(domain, vcpu)| u64::from(domain.0) << 32 | u64::from(vcpu.0));
        self.running.store(word, Ordering::Relaxed);
    }

    /// Loads its tables and its GS on the CPU that runs this.
    ///
    /// # Safety
    /// Once, by the CPU that this is.
    pub unsafe fn enter(&'static self) {
        // SAFETY: the caller's promise.
        unsafe { self.tables.load() };
        // After the tables: loading segments clears the base.
        GsBase::write(VirtAddr::from_ptr(self));
        self.online.store(true, Ordering::Release);
    }
}

/// The CPU that runs this.
#[inline]
pub fn this() -> &'static Cpu {
    let cpu: *const Cpu;
    // SAFETY: GS points to this CPU's data, which starts with its own address and lives for good.
    unsafe {
        core::arch::asm!("mov {}, gs:[0]", out(reg) cpu, options(nostack, preserves_flags, readonly, pure));
        &*cpu
    }
}

/// The CPU that runs this, also before it has data.
pub fn try_this() -> Option<&'static Cpu> {
    let base = GsBase::read().as_u64();
    all().iter().copied().find(|cpu| core::ptr::from_ref::<Cpu>(cpu) as u64 == base)
}

/// Publishes the list of CPUs. The boot CPU is the first.
pub fn set_all(cpus: Vec<&'static Cpu>) {
    CPUS.call_once(|| cpus);
}

/// All CPUs, in the order of their ids; some may not have come up.
pub fn all() -> &'static [&'static Cpu] {
    CPUS.get().map_or(&[], Vec::as_slice)
}

/// The CPUs that are up.
pub fn online() -> impl Iterator<Item = &'static Cpu> {
    all().iter().copied().filter(|cpu| cpu.online.load(Ordering::Acquire))
}

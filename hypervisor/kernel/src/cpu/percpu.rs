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
use tenon_core::machine::CpuIds;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::tables::{self, EMERGENCIES, Gdt};
use crate::mm::paging::MapError;
use crate::mm::vmap;
use crate::watchdog::Watch;

/// Bytes of the stack that a CPU runs on. Code that is not optimized needs far more.
pub const STACK_BYTES: usize = if cfg!(debug_assertions) { 256 } else { 32 } * 1024;
/// Bytes of each stack for [`EMERGENCIES`].
pub const EMERGENCY_STACK_BYTES: usize = 16 * 1024;

/// What belongs to one CPU.
#[repr(C)]
pub struct Cpu {
    /// The structure's own address, read through GS.
    this: u64,
    /// Its index.
    pub id: CpuId,
    /// What the firmware calls it.
    pub ids: CpuIds,
    /// Whether it has come up, and has not been switched off since.
    pub online: AtomicBool,
    /// Who runs: see [`Cpu::running`].
    running: AtomicU64,
    /// What the watchdog knows of it.
    pub watch: Watch,
    /// How far its TSC is ahead of the boot CPU's.
    pub tsc_skew: AtomicU64,
    /// When its timer goes off, in ns; the largest number once it has.
    pub timer_set: AtomicU64,
    /// What its TSC will be when its timer should have gone off, where it may forget that; the largest number once it has.
    pub timer_due: AtomicU64,
    /// The stack that it runs on.
    pub stack: Range<u64>,
    /// Those for [`EMERGENCIES`].
    pub emergency_stacks: [Range<u64>; EMERGENCIES.len()],
    /// Its descriptors, of which the CPU itself marks the TSS's as busy.
    gdt: Gdt,
}

const NOBODY: u64 = u64::MAX;

static CPUS: Once<Vec<&'static Cpu>> = Once::new();

impl Cpu {
    /// Makes the data of a CPU that has yet to start, stacks included.
    ///
    /// # Errors
    /// [`MapError`], where memory is short.
    pub fn new(id: CpuId, ids: CpuIds) -> Result<&'static Self, MapError> {
        let mut emergency_stacks = [const { 0..0 }; EMERGENCIES.len()];
        for stack in &mut emergency_stacks {
            *stack = vmap::stack(EMERGENCY_STACK_BYTES)?;
        }
        let cpu = Box::leak(Box::new(Self {
            this: 0,
            id,
            ids,
            online: AtomicBool::new(false),
            running: AtomicU64::new(NOBODY),
            watch: Watch::new(),
            tsc_skew: AtomicU64::new(0),
            timer_set: AtomicU64::new(u64::MAX),
            timer_due: AtomicU64::new(u64::MAX),
            stack: vmap::stack(STACK_BYTES)?,
            gdt: tables::gdt(&emergency_stacks),
            emergency_stacks,
        }));
        cpu.this = &raw const *cpu as u64;
        Ok(cpu)
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
        unsafe { tables::load(&self.gdt) };
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

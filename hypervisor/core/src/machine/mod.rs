//! What the core asks of the machine below it.
//!
//! The kernel implements [`Machine`] on a zero-sized handle; host tests on a pointer to a simulated machine.

#[cfg(any(test, fuzzing))]
#[allow(missing_docs, reason = "for tests and fuzzers")]
pub mod test;
mod topology;

use core::fmt;

pub use topology::{ApicIdLayout, CpuPlace};

use hypercall_abi::memory::E820Entry;

use crate::cpuid;
use crate::fallible::NoMemory;
use crate::frames::Frames;
use crate::guest_cpu::GuestCpu;
use crate::hardware::HostDevices;
use crate::ids::CpuId;
use crate::iommu::DmaRun;
use crate::log::Level;
use crate::p2m::{Format, TableMemory};
use crate::sched::Cpus;
use crate::time::{Nanos, Tsc, TscScale};
use crate::trace::Trace;

/// The most physical CPUs that Tenon uses.
pub const MAX_CPUS: usize = 64;

/// How the machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineEnd {
    /// Power off.
    PowerOff,
    /// Reboot.
    Reboot,
    /// A panic, with its report.
    Panic,
}

/// What the firmware calls a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuIds {
    /// Its local APIC's id.
    pub apic: u32,
    /// The processor's id in the ACPI tables (MADT).
    pub acpi: u32,
}

/// Time, the console, and what guests run on. CPUs come with [`Cpus`], memory with [`Frames`].
pub trait Machine: Cpus + Frames + HostDevices {
    /// A vCPU of the backend that this machine's CPUs have.
    type Guest: GuestCpu;
    /// The format of nested page tables.
    type Format: Format + Copy + Send + Sync;
    /// Where table pages come from.
    type Tables: TableMemory + Copy + Send + Sync;

    /// A vCPU in the state after INIT.
    fn new_guest(self) -> Result<Self::Guest, NoMemory>;

    /// The format of nested page tables.
    fn p2m_format(self) -> Self::Format;

    /// Where table pages come from.
    fn tables(self) -> Self::Tables;

    /// Waits until the IOMMU has forgotten what it knows of these guest frames of the domain whose devices it translates
    /// for, and of the tables on the way. Called under the p2m lock.
    fn flush_dma(self, runs: &[DmaRun]);

    /// What the firmware calls that CPU.
    fn cpu_ids(self, cpu: CpuId) -> CpuIds;

    /// A CPU has nothing to do until it is switched on again, or is switched on.
    fn set_online(self, cpu: CpuId, on: bool);

    /// What CPUs and backend can offer to guests.
    fn guest_features(self) -> cpuid::Offer;

    /// The time-stamp counter: at any moment the same on all CPUs.
    fn tsc(self) -> Tsc;

    /// How far this CPU's own counter, which a guest reads, is ahead of [`tsc`](Self::tsc).
    fn tsc_skew(self) -> u64 {
        0
    }

    /// What [`now`](Cpus::now) is when the time-stamp counter has this value.
    fn time_at(self, tsc: Tsc) -> Nanos;

    /// How TSC ticks become [`now`](Cpus::now).
    fn tsc_scale(self) -> TscScale;

    /// The wall clock at [`now`](Cpus::now) = 0, in nanoseconds since 1970 UTC.
    fn wall_clock_base(self) -> u64;

    /// Sets that base: the control domain knows the time better.
    fn set_wall_clock_base(self, base: u64);

    /// The record of what happens.
    fn trace(self) -> &'static Trace<Self>;

    /// Takes the host interrupts that are pending on this CPU. Called with no lock held.
    fn take_interrupts(self);

    /// Whether an interrupt that arrives during an exit may be forgotten, as an emulator does
    /// (`docs/src/decisions/lost-interrupts.md`).
    fn forgets_interrupts(self) -> bool;

    /// Has this CPU look whether an interrupt waits for it, if its timer should have gone off by now.
    fn remind_of_timer(self);

    /// CPUID as the CPU answers it.
    fn cpuid(self, leaf: u32, subleaf: u32) -> [u32; 4];

    /// Writes the control domain's output to the console, as it is.
    fn console_write(self, bytes: &[u8]);

    /// Takes what the operator has typed.
    fn console_read(self, into: &mut [u8]) -> usize;

    /// Copies from the console's memory, as [`ConsoleRing::read`](crate::console_ring::ConsoleRing::read) does.
    fn console_history(self, from: u64, into: &mut [u8]) -> (u64, usize);

    /// The hypervisor's command line.
    fn command_line(self) -> &'static str;

    /// The machine's memory map as the firmware gave it.
    fn memory_map(self) -> &'static [E820Entry];

    /// Writes to the hypervisor's console and log.
    fn log(self, level: Level, message: fmt::Arguments<'_>);

    /// Ends the machine's run. Does not come back.
    fn end(self, how: MachineEnd) -> !;
}

/// A set of CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuMask(pub u64);

impl CpuMask {
    /// The first `count` CPUs.
    pub fn first(count: u32) -> Self {
        Self(u64::MAX.checked_shr(64_u32.saturating_sub(count)).unwrap_or(0))
    }

    /// Adds a CPU. One past [`MAX_CPUS`] is ignored: there is none.
    pub fn insert(&mut self, cpu: CpuId) {
        self.0 |= 1u64.checked_shl(cpu.0).unwrap_or(0);
    }

    /// Takes a CPU out.
    pub fn remove(&mut self, cpu: CpuId) {
        self.0 &= !1u64.checked_shl(cpu.0).unwrap_or(0);
    }

    /// The CPUs of the set, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = CpuId> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let first = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (first < u64::BITS).then_some(CpuId(first))
        })
    }

    /// Whether the set has the CPU.
    pub fn contains(self, cpu: CpuId) -> bool {
        self.0 & 1u64.checked_shl(cpu.0).unwrap_or(0) != 0
    }
}

//! The machine as the core sees it: [`Host`] implements the core's traits on top of the machine layer.

mod backend;
mod devices;
mod page;
mod pci;
mod tables;

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::memory::E820Entry;
use hypercall_abi::trace::SCHED_KICK;
use spin::Once;
use tenon_core::cpuid;
use tenon_core::fallible::NoMemory;
use tenon_core::frames::{FrameRef, FrameTable, Frames};
use tenon_core::hypercall::memory::e820;
use tenon_core::hypervisor::Hypervisor;
use tenon_core::ids::CpuId;
use tenon_core::iommu::DmaRun;
use tenon_core::log::Level;
use tenon_core::machine::{ApicIdLayout, CpuIds, CpuMask, CpuPlace, Machine, MachineEnd};
use tenon_core::memory_map::Range;
use tenon_core::sched::{Cpus, Policy};
use tenon_core::time::{Nanos, Tsc, TscScale};
use tenon_core::trace::Trace;

pub use backend::{Backend, Choice, Svm, Vmx, choose as choose_backend, chosen as chosen_backend, entries};
pub use devices::{init as init_devices, message};
pub use page::DirectPage;
pub use pci::{read_config, windows as config_windows, write_config};
pub use tables::HostTables;

use crate::apic::local;
use crate::boot::BootInfo;
use crate::mm::phys;
use crate::{console, cpu, debug, iommu, irq, reset, smp, time};

/// This machine, with its backend. There is only one, so the handle has no size.
#[derive(Clone, Copy, Debug)]
pub struct Host<B>(PhantomData<B>);

impl<B> Host<B> {
    /// The handle.
    pub const HERE: Self = Self(PhantomData);
}

/// What was found out at boot and never changes.
struct Facts {
    command_line: &'static str,
    memory_map: Vec<E820Entry>,
    tsc_scale: TscScale,
}

static FACTS: Once<Facts> = Once::new();
/// The wall clock at the start of time, by the machine's clock until the control domain sets it.
static WALL_CLOCK_BASE: AtomicU64 = AtomicU64::new(0);

/// Notes the facts, makes the hypervisor's state.
///
/// # Errors
/// Says what is missing.
pub fn init<B: Backend>(
    info: &'static BootInfo,
    policy: Policy,
) -> Result<&'static Hypervisor<Host<B>>, &'static str> {
    let tsc_scale = TscScale::from_hz(time::tsc_hz()).ok_or("the TSC's rate makes no sense")?;
    let wall_clock = time::wall_clock_at_start().saturating_mul(time::SECOND);
    WALL_CLOCK_BASE.store(wall_clock, Ordering::Relaxed);
    let entry = |range: &Range| e820(range.start.0, range.len(), range.kind.to_e820());
    let memory_map = info.firmware_map.ranges().iter().map(entry).collect();
    FACTS.call_once(|| Facts { command_line: info.command_line, memory_map, tsc_scale });
    let mut on = CpuMask::default();
    cpu::online().for_each(|cpu| on.insert(cpu.id));
    let no_memory = |_| "no memory for the hypervisor's state";
    let mut hv =
        Hypervisor::new(Host::HERE, is_tsc_stable(), on, info.options.isolcpus).map_err(no_memory)?;
    hv.sched.follow(policy).map_err(no_memory)?;
    Ok(B::globals().hypervisor.call_once(|| hv))
}

/// The hypervisor's state, once [`init`] has run.
#[inline]
pub fn hypervisor<B: Backend>() -> Option<&'static Hypervisor<Host<B>>> {
    B::globals().hypervisor.get()
}

/// Whether a guest may rely on the TSC: on all CPUs it counts alike and at one rate. A hypervisor or an emulator
/// underneath sees to the rate, but most do not say so.
fn is_tsc_stable() -> bool {
    const HYPERVISOR: u32 = 1 << 31;
    const INVARIANT: u32 = 1 << 8;
    let keeps_rate = cpu::cpuid(0x8000_0007, 0)[3] & INVARIANT != 0 || cpu::cpuid(1, 0)[2] & HYPERVISOR != 0;
    if !keeps_rate {
        log::warn!("the TSC is not invariant: time is right only while the CPUs keep their speed");
    }
    keeps_rate && smp::tscs_agree()
}

fn facts() -> &'static Facts {
    match FACTS.get() {
        Some(facts) => facts,
        None => panic!("the machine's facts are asked for before they are known"),
    }
}

/// The frame table.
#[inline]
pub fn frames() -> &'static FrameTable {
    match phys::table() {
        Some(table) => table,
        None => panic!("frames are asked for before there is a table"),
    }
}

impl<B: Backend> Frames for Host<B> {
    type Page<'a> = DirectPage<'a>;

    #[inline]
    fn table(self) -> &'static FrameTable {
        frames()
    }

    #[inline]
    fn page(self, frame: &FrameRef<Self>) -> DirectPage<'_> {
        DirectPage::of(frame)
    }

    fn scrub(self, frame: &FrameRef<Self>) {
        DirectPage::of(frame).scrub();
    }

    fn copy(self, from: (&FrameRef<Self>, usize), to: (&FrameRef<Self>, usize), len: usize) {
        DirectPage::of(from.0).copy_to(from.1, &DirectPage::of(to.0), to.1, len);
    }
}

impl<B: Backend> Cpus for Host<B> {
    fn cpus(self) -> u32 {
        cpu::all().len() as u32
    }

    #[inline]
    fn this_cpu(self) -> CpuId {
        cpu::this().id
    }

    fn place(self, cpu: CpuId) -> CpuPlace {
        ApicIdLayout::read(|leaf, subleaf| self.cpuid(leaf, subleaf)).place(self.cpu_ids(cpu).apic)
    }

    fn kick(self, target: CpuId) {
        if let Some(cpu) = cpu::all().get(target.index()) {
            self.trace().event(SCHED_KICK, || [target.0]);
            smp::kick(cpu);
        }
    }

    #[inline]
    fn now(self) -> Nanos {
        Nanos(time::now())
    }

    fn arm_timer(self, deadline: Nanos) {
        time::timer::arm(deadline.0);
    }
}

impl<B: Backend> Machine for Host<B> {
    type Guest = B::Vcpu;
    type Format = B::Format;
    type Tables = HostTables;

    fn new_guest(self) -> Result<B::Vcpu, NoMemory> {
        B::vcpu()
    }

    fn p2m_format(self) -> B::Format {
        B::format(iommu::has_giant_pages())
    }

    fn tables(self) -> HostTables {
        HostTables { snooped: true }
    }

    fn flush_dma(self, runs: &[DmaRun]) {
        iommu::forget(runs);
    }

    fn cpu_ids(self, cpu: CpuId) -> CpuIds {
        cpu::all().get(cpu.index()).map(|cpu| cpu.ids).unwrap_or_default()
    }

    fn set_online(self, target: CpuId, on: bool) {
        if let Some(cpu) = cpu::all().get(target.index()) {
            cpu.online.store(on, Ordering::Release);
            cpu::online().for_each(smp::kick);
        }
    }

    fn guest_features(self) -> cpuid::Offer {
        cpuid::Offer { xcr0_limit: crate::guest::xcr0_mask(), physical_bits: cpu::features().phys_bits }
    }

    #[inline]
    fn tsc(self) -> Tsc {
        Tsc(time::tsc())
    }

    #[inline]
    fn tsc_skew(self) -> u64 {
        cpu::this().tsc_skew.load(Ordering::Relaxed)
    }

    fn time_at(self, tsc: Tsc) -> Nanos {
        Nanos(time::from_tsc(tsc.0))
    }

    fn tsc_scale(self) -> TscScale {
        facts().tsc_scale
    }

    fn wall_clock_base(self) -> u64 {
        WALL_CLOCK_BASE.load(Ordering::Relaxed)
    }

    fn set_wall_clock_base(self, base: u64) {
        WALL_CLOCK_BASE.store(base, Ordering::Relaxed);
    }

    #[inline]
    fn trace(self) -> &'static Trace<Self> {
        &B::globals().trace
    }

    fn take_interrupts(self) {
        irq::window();
    }

    #[inline]
    fn forgets_interrupts(self) -> bool {
        cpu::features().forgets_interrupts
    }

    #[inline]
    fn remind_of_timer(self) {
        if time::timer::is_overdue() {
            local::remind();
        }
    }

    fn cpuid(self, leaf: u32, subleaf: u32) -> [u32; 4] {
        cpu::cpuid(leaf, subleaf)
    }

    fn console_write(self, bytes: &[u8]) {
        console::write(bytes);
    }

    fn console_read(self, into: &mut [u8]) -> usize {
        console::read_input(into)
    }

    fn console_history(self, from: u64, into: &mut [u8]) -> (u64, usize) {
        console::read_ring(from, into)
    }

    fn command_line(self) -> &'static str {
        facts().command_line
    }

    fn memory_map(self) -> &'static [E820Entry] {
        &facts().memory_map
    }

    fn log(self, level: Level, message: fmt::Arguments<'_>) {
        let level = match level {
            Level::Guest => return log::info!(target: "guest", "{message}"),
            Level::Error => log::Level::Error,
            Level::Warning => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
        };
        log::log!(level, "{message}");
    }

    fn end(self, how: MachineEnd) -> ! {
        match how {
            MachineEnd::Panic => {
                debug::hang_if_asked();
                panic!("asked for by domain 0")
            }
            MachineEnd::Reboot => reset::reboot(),
            MachineEnd::PowerOff => {
                let why = reset::power_off();
                log::error!("cannot switch off: {why}; halting");
            }
        }
        loop {
            x86_64::instructions::hlt();
        }
    }
}

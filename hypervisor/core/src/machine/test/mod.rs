//! A machine for host tests: some RAM, a clock that tests move, a console that remembers, and vCPUs that are registers in
//! memory and run what a test tells them.

mod devices;
mod guest;
mod tables;

pub use devices::TestDevices;
pub use guest::TestGuest;
pub use tables::TestTables;

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::boxed::Box;
use std::collections::VecDeque;
use std::format;
use std::panic;
use std::string::String;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::vec::Vec;

use hypercall_abi::memory::E820Entry;

use super::{ApicIdLayout, CpuIds, CpuPlace, Machine, MachineEnd};
use crate::console_ring::ConsoleRing;
use crate::cpuid;
use crate::fallible::NoMemory;
use crate::frame::{Maddr, Mfn, PAGE_SIZE};
use crate::frames::{FrameRef, FrameSlot, FrameTable, Frames};
use crate::hardware::HostDevices;
use crate::hypercall::memory::e820;
use crate::ids::{CpuId, Vector};
use crate::iommu::DmaRun;
use crate::log::Level;
use crate::p2m::Npt;
use crate::page::TestPage;
use crate::sched::Cpus;
use crate::time::{Nanos, Tsc, TscScale};
use crate::trace::Trace;
use crate::vioapic::Route;
use crate::vpci::{ConfigSpace, Register, Size};

/// TSC frequency of the test machine: a tick is a nanosecond.
const TSC_HZ: u64 = 1_000_000_000;
const CPUS: u32 = 4;
/// The wall clock when the machine starts.
const WALL_CLOCK: u64 = 1_700_000_000_000_000_000;

/// A handle to a leaked test machine.
#[derive(Clone, Copy)]
pub struct TestMachine(&'static State);

struct State {
    table: FrameTable,
    pages: Vec<OnceLock<TestPage>>,
    tables: TestTables,
    memory_map: [E820Entry; 1],
    clock: AtomicU64,
    wall_clock: AtomicU64,
    console: Mutex<Console>,
    kicks: AtomicU64,
    off: AtomicU64,
    devices: Mutex<TestDevices>,
    trace: OnceLock<Trace<TestMachine>>,
}

struct Console {
    ring: ConsoleRing<4096>,
    input: VecDeque<u8>,
    log: Vec<(Level, String)>,
}

/// What [`Machine::end`] unwinds with, for a test to catch.
#[derive(Debug)]
pub struct Ended(pub MachineEnd);

std::thread_local! {
    static THIS_CPU: Cell<CpuId> = const { Cell::new(CpuId(0)) };
}

impl TestMachine {
    /// A machine with `frames` free frames of RAM.
    pub fn new(frames: usize) -> Self {
        let slots: Vec<FrameSlot> = (0..frames).map(|_| FrameSlot::default()).collect();
        let table = FrameTable::new(Box::leak(slots.into_boxed_slice())).expect("host heap");
        table.add_free(Mfn(0), frames as u64);
        Self(Box::leak(Box::new(State {
            table,
            pages: (0..frames).map(|_| OnceLock::new()).collect(),
            tables: TestTables::new(),
            memory_map: [e820(0, (frames * PAGE_SIZE) as u64, 1)],
            clock: AtomicU64::new(1_000_000_000),
            wall_clock: AtomicU64::new(WALL_CLOCK),
            console: Mutex::new(Console {
                ring: ConsoleRing::new(),
                input: VecDeque::new(),
                log: Vec::new(),
            }),
            kicks: AtomicU64::new(0),
            off: AtomicU64::new(0),
            devices: Mutex::default(),
            trace: OnceLock::new(),
        })))
    }

    /// Lets time pass.
    pub fn advance(self, ns: u64) {
        self.0.clock.fetch_add(ns, Ordering::Relaxed);
    }

    /// Makes this thread another CPU.
    pub fn become_cpu(self, cpu: CpuId) {
        THIS_CPU.set(cpu);
    }

    /// What was logged since the last time.
    pub fn take_log(self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.console().log)
    }

    /// Types on the console.
    pub fn type_in(self, bytes: &[u8]) {
        self.console().input.extend(bytes);
    }

    /// Nested page tables in use.
    pub fn live_tables(self) -> usize {
        self.0.tables.live()
    }

    /// CPUs that have been kicked since the last time, as bits.
    pub fn take_kicks(self) -> u64 {
        self.0.kicks.swap(0, Ordering::Relaxed)
    }

    /// CPUs that are switched off, as bits.
    pub fn off(self) -> u64 {
        self.0.off.load(Ordering::Relaxed)
    }

    /// The devices, to be looked at and changed.
    pub fn devices(self) -> MutexGuard<'static, TestDevices> {
        self.0.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn console(self) -> MutexGuard<'static, Console> {
        self.0.console.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frames for TestMachine {
    type Page<'a> = TestPage;

    fn table(self) -> &'static FrameTable {
        &self.0.table
    }

    fn page(self, frame: &FrameRef<Self>) -> TestPage {
        self.0.pages[frame.mfn().0 as usize].get_or_init(TestPage::default).clone()
    }
}

impl ConfigSpace for TestMachine {
    fn read_config(&self, at: Register, size: Size) -> u32 {
        self.devices().read_config(at, size)
    }

    fn write_config(&mut self, at: Register, size: Size, value: u32) {
        self.devices().write_config(at, size, value);
    }
}

impl HostDevices for TestMachine {
    fn route_gsi(self, route: &Route, cpu: CpuId) {
        self.devices().routes.push((*route, cpu));
    }

    fn take_vector(self) -> Option<Vector> {
        self.devices().take_vector()
    }

    fn free_vector(self, vector: Vector) {
        self.devices().vectors.remove(&vector.0);
    }

    fn message(self, vector: Vector, cpu: CpuId) -> (u64, u32) {
        (0xfee0_0000 | u64::from(cpu.0) << 12, u32::from(vector.0))
    }

    fn read_device(self, at: Maddr, bytes: u64) -> u64 {
        self.devices().read_memory(at.0, bytes)
    }

    fn write_device(self, at: Maddr, _bytes: u64, value: u64) {
        self.devices().write_memory(at.0, value);
    }

    fn read_port(self, _port: u16, size: Size) -> u32 {
        size.ones()
    }

    fn write_port(self, _port: u16, _size: Size, _value: u32) {}
}

impl Cpus for TestMachine {
    fn cpus(self) -> u32 {
        CPUS
    }

    fn this_cpu(self) -> CpuId {
        THIS_CPU.get()
    }

    fn place(self, cpu: CpuId) -> CpuPlace {
        ApicIdLayout::read(|leaf, subleaf| self.cpuid(leaf, subleaf)).place(self.cpu_ids(cpu).apic)
    }

    fn kick(self, cpu: CpuId) {
        self.0.kicks.fetch_or(1 << cpu.0, Ordering::Relaxed);
    }

    fn now(self) -> Nanos {
        Nanos(self.0.clock.load(Ordering::Relaxed))
    }

    fn arm_timer(self, _deadline: Nanos) {}
}

impl Machine for TestMachine {
    type Guest = TestGuest;
    type Format = Npt;
    type Tables = TestTables;

    fn new_guest(self) -> Result<TestGuest, NoMemory> {
        Ok(TestGuest::new())
    }

    fn p2m_format(self) -> Npt {
        Npt { giant_pages: true }
    }

    fn tables(self) -> TestTables {
        self.0.tables
    }

    fn flush_dma(self, runs: &[DmaRun]) {
        self.devices().forgotten.extend(runs);
    }

    fn cpu_ids(self, cpu: CpuId) -> CpuIds {
        CpuIds { apic: cpu.0, acpi: cpu.0 + 1 }
    }

    fn set_online(self, cpu: CpuId, on: bool) {
        let bit = 1 << cpu.0;
        if on {
            self.0.off.fetch_and(!bit, Ordering::Relaxed);
        } else {
            self.0.off.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn guest_features(self) -> cpuid::Offer {
        cpuid::Offer { xcr0_limit: 0b111, physical_bits: 40 }
    }

    fn tsc(self) -> Tsc {
        Tsc(self.now().0)
    }

    fn time_at(self, tsc: Tsc) -> Nanos {
        Nanos(tsc.0)
    }

    fn tsc_scale(self) -> TscScale {
        TscScale::from_hz(TSC_HZ).expect("a sensible frequency")
    }

    fn wall_clock_base(self) -> u64 {
        self.0.wall_clock.load(Ordering::Relaxed)
    }

    fn set_wall_clock_base(self, base: u64) {
        self.0.wall_clock.store(base, Ordering::Relaxed);
    }

    fn trace(self) -> &'static Trace<Self> {
        self.0.trace.get_or_init(|| Trace::new(self))
    }

    fn take_interrupts(self) {}

    fn forgets_interrupts(self) -> bool {
        false
    }

    fn remind_of_timer(self) {}

    /// An AMD CPU with one package of two cores of two threads.
    fn cpuid(self, leaf: u32, subleaf: u32) -> [u32; 4] {
        match (leaf, subleaf) {
            (0, _) => [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
            (1, _) => [0x0080_0f12, 0x0004_0800, 0x3ed8_320b, 0x178b_fbff],
            (7, 0) => [0, 0x209c_01a9, 0, 0],
            (0xb, 0) => [1, 2, 0x100, 0],
            (0xb, 1) => [2, 4, 0x201, 0],
            (0xd, 0) => [7, 832, 832, 0],
            (0xd, 1) => [1, 0, 0, 0],
            (0xd, 2) => [256, 576, 0, 0],
            (0x8000_0000, _) => [0x8000_001f, 0, 0, 0],
            (0x8000_0001, _) => [0, 0, 0x3f3, 0x2fd3_fbff],
            (0x8000_0007, _) => [0, 0, 0, 0x100],
            (0x8000_0008, _) => [0x3030, 0, 3, 0],
            _ => [0; 4],
        }
    }

    fn console_write(self, bytes: &[u8]) {
        self.console().ring.write(bytes);
    }

    fn console_read(self, into: &mut [u8]) -> usize {
        let mut console = self.console();
        let mut count = 0;
        for (slot, byte) in into.iter_mut().zip(std::iter::from_fn(|| console.input.pop_front())) {
            *slot = byte;
            count += 1;
        }
        count
    }

    fn console_history(self, from: u64, into: &mut [u8]) -> (u64, usize) {
        self.console().ring.read(from, into)
    }

    fn command_line(self) -> &'static str {
        "console=com1 loglvl=all"
    }

    fn memory_map(self) -> &'static [E820Entry] {
        &self.0.memory_map
    }

    fn log(self, level: Level, message: fmt::Arguments<'_>) {
        let mut console = self.console();
        console.ring.write(format!("{message}\n").as_bytes());
        console.log.push((level, format!("{message}")));
    }

    fn end(self, how: MachineEnd) -> ! {
        panic::resume_unwind(Box::new(Ended(how)))
    }
}

//! IO-APICs: which line interrupts whom, and how.
//!
//! Lines are numbered as ACPI does (GSI). Every line is masked until it is routed. Locks: one per IO-APIC, a leaf.
#![allow(unsafe_code, reason = "maps the IO-APICs' registers")]

use alloc::vec::Vec;
use core::fmt;

use spin::Once;
use tenon_core::acpi::{IoApic as Listed, Polarity, Trigger};
use tenon_core::ids::Vector;
use tenon_core::sync::{Class, Lock};

use crate::mm::mmio::Mmio;
use crate::mm::vmap::{self, Caching};

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const INDEX_VERSION: u32 = 1;
const INDEX_REDIRECTION: u32 = 0x10;

const LOW_POLARITY: u64 = 1 << 13;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;

/// Where a line's interrupt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The vector.
    pub vector: Vector,
    /// The APIC id of the CPU; 8 bits without interrupt remapping.
    pub apic_id: u8,
    /// Trigger.
    pub trigger: Trigger,
    /// Active level.
    pub polarity: Polarity,
    /// Silent for now.
    pub masked: bool,
}

impl Route {
    fn encode(self) -> u64 {
        let mut entry = u64::from(self.vector.0) | u64::from(self.apic_id) << 56;
        if self.polarity == Polarity::Low {
            entry |= LOW_POLARITY;
        }
        if self.trigger == Trigger::Level {
            entry |= LEVEL;
        }
        if self.masked {
            entry |= MASKED;
        }
        entry
    }
}

/// No IO-APIC has this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchLine(pub u32);

impl fmt::Display for NoSuchLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no IO-APIC has interrupt line {}", self.0)
    }
}

struct IoApic {
    listed: Listed,
    lines: u32,
    registers: Lock<Registers>,
}

struct Registers(Mmio);

impl Registers {
    fn read(&self, index: u32) -> u32 {
        self.0.write32(SELECT, index);
        self.0.read32(WINDOW)
    }

    fn write(&self, index: u32, value: u32) {
        self.0.write32(SELECT, index);
        self.0.write32(WINDOW, value);
    }

    /// Writes an entry so that no half-written one is ever live: masked first, the live half last.
    fn set_entry(&self, line: u32, entry: u64) {
        let index = INDEX_REDIRECTION + 2 * line;
        self.write(index, self.read(index) | MASKED as u32);
        self.write(index + 1, (entry >> 32) as u32);
        self.write(index, entry as u32);
    }
}

static IO_APICS: Once<Vec<IoApic>> = Once::new();

/// Maps the IO-APICs and masks all their lines.
pub fn init(listed: &[Listed]) {
    IO_APICS.call_once(|| listed.iter().filter_map(IoApic::open).collect());
}

impl IoApic {
    fn open(listed: &Listed) -> Option<Self> {
        // SAFETY: the IO-APIC's registers, by the ACPI tables.
        let mapped = unsafe { vmap::map_device(listed.address, 4096, Caching::Uncached) };
        let Ok(memory) = mapped else {
            log::error!("IO-APIC {} at {} cannot be mapped", listed.id, listed.address);
            return None;
        };
        let registers = Registers(memory);
        let version = registers.read(INDEX_VERSION);
        let lines = (version >> 16 & 0xff) + 1;
        for line in 0..lines {
            registers.set_entry(line, MASKED);
        }
        log::info!(
            "IO-APIC {} at {}: lines {}-{}",
            listed.id,
            listed.address,
            listed.gsi_base,
            listed.gsi_base + lines - 1
        );
        Some(Self { listed: *listed, lines, registers: Lock::new(Class::IoApicRegisters, registers) })
    }
}

fn apics() -> &'static [IoApic] {
    IO_APICS.get().map_or(&[], Vec::as_slice)
}

fn find(gsi: u32) -> Result<(&'static IoApic, u32), NoSuchLine> {
    let line_of = |apic: &'static IoApic| {
        let line = gsi.checked_sub(apic.listed.gsi_base)?;
        (line < apic.lines).then_some((apic, line))
    };
    apics().iter().find_map(line_of).ok_or(NoSuchLine(gsi))
}

/// Lines per IO-APIC, with the first line's number, in the tables' order.
pub fn all() -> impl Iterator<Item = (Listed, u32)> {
    apics().iter().map(|apic| (apic.listed, apic.lines))
}

/// Routes a line.
///
/// # Errors
/// [`NoSuchLine`].
pub fn route(gsi: u32, route: Route) -> Result<(), NoSuchLine> {
    let (apic, line) = find(gsi)?;
    apic.registers.lock().set_entry(line, route.encode());
    Ok(())
}

/// Masks or unmasks a line, its route unchanged.
///
/// # Errors
/// [`NoSuchLine`].
pub fn set_masked(gsi: u32, masked: bool) -> Result<(), NoSuchLine> {
    let (apic, line) = find(gsi)?;
    let registers = apic.registers.lock();
    let index = INDEX_REDIRECTION + 2 * line;
    let entry = registers.read(index);
    registers.write(index, if masked { entry | MASKED as u32 } else { entry & !(MASKED as u32) });
    Ok(())
}

//! A VT-d unit's registers (specification 4.1, chapter 11).

use alloc::boxed::Box;
use alloc::vec::Vec;

use tenon_core::acpi::{Dmar, VtdUnit};
use tenon_core::frame::{Maddr, Mfn};
use tenon_core::iommu::vtd::{self, Capabilities};
use tenon_core::iommu::{DmaRun, Fault};
use tenon_core::p2m::{ENTRIES, TableMemory};

use super::queue::Queue;
use super::{Driver, Failed, Iommu, within_a_second};
use crate::mm::mmio::Mmio;

const CAPABILITIES: usize = 0x08;
const EXTENDED: usize = 0x10;
const COMMAND: usize = 0x18;
const STATUS: usize = 0x1c;
const ROOT: usize = 0x20;
const FAULT_STATUS: usize = 0x34;
const FAULT_CONTROL: usize = 0x38;
const FAULT_DATA: usize = 0x3c;
const FAULT_ADDRESS: usize = 0x40;
const FAULT_ADDRESS_HIGH: usize = 0x44;
const PROTECTED: usize = 0x64;
const QUEUE_TAIL: usize = 0x88;
const QUEUE: usize = 0x90;

/// Bits of the command register, and of the status register, which says when it is done: translation, the root table,
/// the queue. Those that stay.
const TRANSLATION: u32 = 1 << 31;
const ROOT_SET: u32 = 1 << 30;
const QUEUED: u32 = 1 << 26;
const LASTING: u32 = 0x96ff_ffff;
const PROTECTION: u32 = 1 << 31;
const PROTECTED_NOW: u32 = 1 << 0;
/// Records were lost.
const OVERFLOW: u32 = 1 << 0;
/// In the last word of a fault record: it is one. Cleared by writing it.
const IS_FAULT: u32 = 1 << 31;
/// How often the records are looked at for one interrupt: until there is none, or there is no end of them. A record that
/// is left keeps the next one from interrupting.
const PASSES: usize = 64;

/// A unit.
struct Unit {
    listed: VtdUnit,
    registers: Mmio,
    can: Capabilities,
}

/// Looks at the units, and what they have in common.
pub fn open(dmar: Dmar, level: log::Level) -> Result<Iommu, Failed> {
    let mut units = Vec::new();
    for listed in dmar.units {
        let registers = super::map(listed.registers, listed.len)?;
        let (can, also) = (registers.read64(CAPABILITIES), registers.read64(EXTENDED));
        let can = Capabilities::new(can, also, listed.len);
        let can = can.map_err(|why| Failed::Vtd(listed.registers, why))?;
        log::log!(level, "IOMMU at {}: VT-d, segment {}, {can}", listed.registers, listed.segment);
        units.push(Unit { listed, registers, can });
    }
    for unit in &units {
        let segment = unit.listed.segment;
        if !units.iter().any(|other| other.listed.segment == segment && other.listed.rest_of_segment) {
            log::warn!("IOMMU: devices of segment {segment} that no unit names are not confined");
        }
    }
    let common = units.iter().map(|unit| unit.can).reduce(Capabilities::common);
    let common = common.ok_or(Failed::NoMemory)?;
    let format = common.format().map_err(Failed::Mixed)?;
    let drivers = units.into_iter().map(|unit| Box::new(unit) as Box<dyn Driver>);
    Iommu::new(drivers, format, common.is_coherent(), dmar.reserved)
}

impl Unit {
    /// Sets or clears a bit of the command register and waits until it is so.
    fn command(&self, bit: u32, on: bool) -> Result<(), Failed> {
        let lasting = self.registers.read32(STATUS) & LASTING;
        self.registers.write32(COMMAND, if on { lasting | bit } else { lasting & !bit });
        self.wait(|| (self.registers.read32(STATUS) & bit != 0) == on)
    }

    fn wait(&self, condition: impl Fn() -> bool) -> Result<(), Failed> {
        if within_a_second(condition) { Ok(()) } else { Err(Failed::Stuck(self.at())) }
    }
}

impl Driver for Unit {
    fn at(&self) -> Maddr {
        self.listed.registers
    }

    fn queue(&self) -> Option<Queue> {
        Queue::new(QUEUE_TAIL, vtd::wait)
    }

    fn enable(&self, root: Mfn, iommu: &Iommu, queue: &mut Queue, message: (u64, u32)) -> Result<(), Failed> {
        let registers = &self.registers;
        let roots = root_table(root, iommu).ok_or(Failed::NoMemory)?;
        self.command(QUEUED, false)?;
        registers.write64(ROOT, roots.addr().0);
        self.command(ROOT_SET, true)?;
        registers.write64(QUEUE_TAIL, 0);
        registers.write64(QUEUE, queue.address().0);
        self.command(QUEUED, true)?;
        if !queue.run(registers, vtd::FORGET_ALL) {
            return Err(Failed::Stuck(self.at()));
        }
        let (address, data) = message;
        registers.write32(FAULT_DATA, data);
        registers.write32(FAULT_ADDRESS, address as u32);
        registers.write32(FAULT_ADDRESS_HIGH, (address >> 32) as u32);
        // What the firmware has left is of no interest, and would keep new faults from being told.
        self.report(&mut |_| ());
        registers.write32(FAULT_CONTROL, 0);
        self.command(TRANSLATION, true)?;
        if self.can.has_protected_memory() {
            registers.write32(PROTECTED, registers.read32(PROTECTED) & !PROTECTION);
            self.wait(|| registers.read32(PROTECTED) & PROTECTED_NOW == 0)?;
        }
        Ok(())
    }

    fn forget(&self, runs: &[DmaRun], queue: &mut Queue) -> bool {
        queue.run(&self.registers, runs.iter().map(|run| self.can.forget(*run)))
    }

    fn report(&self, on_fault: &mut dyn FnMut(Fault)) -> bool {
        let registers = &self.registers;
        let (first, count) = self.can.fault_records();
        for _ in 0..PASSES {
            let mut found = false;
            for record in (0..count).map(|index| first + 16 * index) {
                let words = [registers.read64(record), registers.read64(record + 8)];
                if let Some(fault) = vtd::fault(words, self.listed.segment) {
                    registers.write32(record + 12, IS_FAULT);
                    on_fault(fault);
                    found = true;
                }
            }
            if !found {
                break;
            }
        }
        let lost = registers.read32(FAULT_STATUS) & OVERFLOW != 0;
        if lost {
            registers.write32(FAULT_STATUS, OVERFLOW);
        }
        lost
    }
}

/// A table by which every device of every bus is translated for by the tables at `root`: one page of roots, which all
/// lead to one of contexts, which are all the same.
fn root_table(root: Mfn, iommu: &Iommu) -> Option<Mfn> {
    let (roots, contexts) = (iommu.tables.alloc()?, iommu.tables.alloc()?);
    let fill = |table, [low, high]: [u64; 2]| {
        for index in (0..ENTRIES).step_by(2) {
            iommu.tables.write(table, index + 1, high);
            iommu.tables.write(table, index, low);
        }
    };
    fill(contexts, vtd::context_entry(root, iommu.format));
    fill(roots, vtd::root_entry(contexts));
    Some(roots)
}

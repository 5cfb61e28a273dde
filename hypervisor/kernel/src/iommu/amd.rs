//! An AMD-Vi unit's registers (specification 3.08, 3.4), and its PCI function, which sends its interrupts.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use tenon_core::acpi::{AmdUnit, Ivrs};
use tenon_core::frame::{Maddr, Mfn};
use tenon_core::frames::Zone;
use tenon_core::iommu::amd::{self, DEVICE_WORDS, DEVICES, Event};
use tenon_core::iommu::{COMMAND_LEN, DmaRun, Fault, QUEUE_LEN};
use tenon_core::p2m::{Dma, ENTRIES, TableMemory};
use tenon_core::vpci::{Bdf, Register, Size};

use super::queue::Queue;
use super::{Driver, Failed, Iommu};
use crate::host::{self, HostTables};
use crate::mm::mmio::Mmio;
use crate::mm::phys;

const DEVICE_TABLE: usize = 0x00;
const COMMANDS: usize = 0x08;
const EVENTS: usize = 0x10;
const CONTROL: usize = 0x18;
const COMMAND_HEAD: usize = 0x2000;
const COMMAND_TAIL: usize = 0x2008;
const EVENT_HEAD: usize = 0x2010;
const EVENT_TAIL: usize = 0x2018;
const STATUS: usize = 0x2020;
/// The registers' length.
pub const LEN: usize = 0x4000;

/// 256 commands, or events: a page.
const LENGTH_256: u64 = 8 << 56;
/// Bits of the control register; the first four of the firmware's flags are for these places, and the sixth.
const ENABLE: u64 = 1 << 0;
const LOG_EVENTS: u64 = 1 << 2;
const INTERRUPT_FOR_EVENTS: u64 = 1 << 3;
const RUN_COMMANDS: u64 = 1 << 12;
const FLAGS: [(u8, u64); 5] = [(0, 1 << 1), (1, 1 << 8), (2, 1 << 9), (3, 1 << 11), (5, 1 << 10)];
/// Of the status: events were lost; there are events.
const OVERFLOW: u64 = 1 << 0;
const EVENT_INTERRUPT: u64 = 1 << 1;

/// Pages of a device table for all requesters.
const DEVICE_PAGES: usize = DEVICES * DEVICE_WORDS / ENTRIES;
/// Its units snoop whatever they read.
const SNOOPED: HostTables = HostTables { snooped: true };

/// Of PCI functions: where the list of capabilities starts, how long it can be; MSI's number and control bits.
const CAPABILITIES: u16 = 0x34;
const MAX_CAPABILITIES: usize = 48;
const MSI: u32 = 0x05;
const MSI_ENABLE: u32 = 1 << 0;
const MSI_COUNT: u32 = 7 << 4;
const MSI_WIDE: u32 = 1 << 7;

/// A unit.
struct Unit {
    listed: AmdUnit,
    registers: Mmio,
    /// The log of events, and where to read on in it, in bytes.
    events: Mfn,
    head: AtomicU64,
}

/// Looks at the units.
pub fn open(ivrs: Ivrs, level: log::Level) -> Result<Iommu, Failed> {
    let mut units = Vec::new();
    for listed in ivrs.units {
        let registers = super::map(listed.registers, LEN)?;
        log::log!(level, "IOMMU at {}: AMD-Vi, PCI function {}", listed.registers, listed.function);
        let events = SNOOPED.alloc().ok_or(Failed::NoMemory)?;
        units.push(Unit { listed, registers, events, head: AtomicU64::new(0) });
    }
    let drivers = units.into_iter().map(|unit| Box::new(unit) as Box<dyn Driver>);
    Iommu::new(drivers, Dma::Amd, true, ivrs.reserved)
}

impl Unit {
    /// Makes the unit's PCI function send this message as its MSI.
    fn send(&self, (address, data): (u64, u32)) {
        let at = |offset: u16| Register { bdf: self.listed.function, offset };
        let next = |offset: u16| host::read_config(at(offset), Size::Byte) as u16 & !3;
        let capabilities = core::iter::successors(Some(next(CAPABILITIES)), |at| Some(next(at + 1)));
        let msi = capabilities
            .take(MAX_CAPABILITIES)
            .take_while(|offset| *offset != 0)
            .find(|offset| host::read_config(at(*offset), Size::Byte) == MSI);
        let Some(msi) = msi else {
            log::warn!("IOMMU at {}: its function has no MSI, so faults are not told", self.at());
            return;
        };
        let control = host::read_config(at(msi + 2), Size::Word);
        let data_at = if control & MSI_WIDE != 0 { msi + 12 } else { msi + 8 };
        host::write_config(at(msi + 4), Size::Dword, address as u32);
        if control & MSI_WIDE != 0 {
            host::write_config(at(msi + 8), Size::Dword, (address >> 32) as u32);
        }
        host::write_config(at(data_at), Size::Word, data);
        host::write_config(at(msi + 2), Size::Word, control & !MSI_COUNT | MSI_ENABLE);
    }
}

impl Driver for Unit {
    fn at(&self) -> Maddr {
        self.listed.registers
    }

    fn queue(&self) -> Option<Queue> {
        Queue::new(COMMAND_TAIL, amd::wait)
    }

    fn enable(&self, root: Mfn, _: &Iommu, queue: &mut Queue, message: (u64, u32)) -> Result<(), Failed> {
        let registers = &self.registers;
        let devices = device_table(root).ok_or(Failed::NoMemory)?;
        registers.write64(CONTROL, 0);
        registers.write64(DEVICE_TABLE, devices.addr().0 | (DEVICE_PAGES as u64 - 1));
        registers.write64(COMMANDS, queue.address().0 | LENGTH_256);
        registers.write64(EVENTS, self.events.addr().0 | LENGTH_256);
        for pointer in [COMMAND_HEAD, COMMAND_TAIL, EVENT_HEAD, EVENT_TAIL] {
            registers.write64(pointer, 0);
        }
        self.send(message);
        let given = |(bit, _): &&(u8, u64)| self.listed.flags >> bit & 1 != 0;
        let flags: u64 = FLAGS.iter().filter(given).map(|(_, control)| control).sum();
        let control = flags | LOG_EVENTS | INTERRUPT_FOR_EVENTS | RUN_COMMANDS | ENABLE;
        registers.write64(CONTROL, control);
        // What the unit may remember of the firmware's tables, in pieces that its ring holds.
        const PIECE: usize = QUEUE_LEN / 2;
        let forgotten = (0..DEVICES).step_by(PIECE).all(|first| {
            let some = (first..first + PIECE).map(|id| amd::forget_device(id as u16));
            queue.run(registers, some.chain([amd::forget_all()]))
        });
        if forgotten { Ok(()) } else { Err(Failed::Stuck(self.at())) }
    }

    fn forget(&self, runs: &[DmaRun], queue: &mut Queue) -> bool {
        queue.run(&self.registers, runs.iter().map(|run| amd::forget(*run)))
    }

    fn report(&self, on_fault: &mut dyn FnMut(Fault)) -> bool {
        let registers = &self.registers;
        let lost = registers.read64(STATUS) & OVERFLOW != 0;
        registers.write64(STATUS, EVENT_INTERRUPT);
        let tail = registers.read64(EVENT_TAIL);
        let mut head = self.head.load(Ordering::Relaxed);
        for _ in 0..QUEUE_LEN {
            let index = (head as usize / COMMAND_LEN) % QUEUE_LEN;
            let entry = [SNOOPED.read(self.events, 2 * index), SNOOPED.read(self.events, 2 * index + 1)];
            let event = if head == tail { None } else { amd::event(entry, self.listed.function.segment) };
            match event {
                None => break,
                Some(Event::Fault(fault)) => on_fault(fault),
                Some(Event::Trouble(code, words)) => {
                    log::error!("IOMMU at {}: event {code}: {words:#x?}", self.at());
                }
            }
            // So that it is not taken for an entry once more before the unit has written there again.
            SNOOPED.write(self.events, 2 * index, 0);
            head = ((index + 1) % QUEUE_LEN * COMMAND_LEN) as u64;
        }
        registers.write64(EVENT_HEAD, head);
        self.head.store(head, Ordering::Relaxed);
        if lost {
            // The log starts anew: that takes switching it off and on.
            registers.write64(CONTROL, registers.read64(CONTROL) & !LOG_EVENTS);
            registers.write64(STATUS, OVERFLOW);
            registers.write64(CONTROL, registers.read64(CONTROL) | LOG_EVENTS);
        }
        lost
    }

    fn is_function(&self, function: Bdf) -> bool {
        self.listed.function == function
    }
}

/// A table by which every device is translated for by the tables at `root`.
fn device_table(root: Mfn) -> Option<Mfn> {
    let table = phys::alloc(DEVICE_PAGES.ilog2(), Zone::Any)?;
    let entry = amd::device_entry(root);
    for word in 0..DEVICES * DEVICE_WORDS {
        SNOOPED.write(Mfn(table.0 + (word / ENTRIES) as u64), word % ENTRIES, entry[word % DEVICE_WORDS]);
    }
    Some(table)
}

//! What the ACPI tables say about this machine.
//!
//! The tables are copied out of the firmware's memory once; nothing refers to that afterwards.
#![allow(unsafe_code, reason = "reads the firmware's tables")]

use alloc::vec::Vec;

use spin::Once;
use tenon_core::acpi::{
    ConfigSpace, Fadt, HEADER_LEN, IoApic, Madt, MadtEntry, Polarity, SourceOverride, Table, Trigger,
    config_spaces, hpet,
};
use tenon_core::frame::Maddr;
use tenon_core::machine::CpuIds;

use crate::mm::vmap::{self, Caching};

/// No table is larger than this; a greater length is a broken header.
const TABLE_MAX: usize = 16 << 20;
/// Room for every CPU that xAPIC and x2APIC entries could list on machines of today.
const CPUS_MAX: usize = 1024;

/// A table and where it was.
pub struct FirmwareTable {
    /// Where the firmware put it.
    pub address: Maddr,
    /// All its bytes.
    pub bytes: Vec<u8>,
}

impl FirmwareTable {
    /// The table, checked when it was read.
    pub fn table(&self) -> Option<Table<'_>> {
        Table::new(&self.bytes).ok()
    }
}

/// The machine according to ACPI.
#[derive(Default)]
pub struct Acpi {
    /// All tables of the XSDT or RSDT.
    pub tables: Vec<FirmwareTable>,
    /// The CPUs that are enabled, in the table's order.
    pub cpus: Vec<CpuIds>,
    /// The local APICs' address.
    pub local_apic: Option<Maddr>,
    /// The IO-APICs.
    pub io_apics: Vec<IoApic>,
    /// ISA interrupts that are wired otherwise.
    pub overrides: Vec<SourceOverride>,
    /// The HPET's registers.
    pub hpet: Option<Maddr>,
    /// Memory-mapped PCI configuration space.
    pub pci: Vec<ConfigSpace>,
}

static ACPI: Once<Acpi> = Once::new();

/// The machine according to ACPI; empty where there is no ACPI.
pub fn acpi() -> &'static Acpi {
    ACPI.call_once(Acpi::default)
}

/// Reads the tables that the root table (RSDT or XSDT) lists.
pub fn init(root: Option<Maddr>) {
    ACPI.call_once(|| match root {
        Some(root) => Acpi::read(root),
        None => {
            log::warn!("the machine has no ACPI tables: one CPU, no IO-APIC");
            Acpi::default()
        }
    });
}

/// The first table of a name.
fn find<'a>(tables: &'a [FirmwareTable], signature: &[u8; 4]) -> Option<Table<'a>> {
    tables.iter().filter_map(FirmwareTable::table).find(|table| table.signature() == *signature)
}

impl Acpi {
    fn read(root: Maddr) -> Self {
        let list = read_table(root);
        let entries = list.iter().filter_map(FirmwareTable::table).flat_map(|list| list.entries());
        let tables: Vec<_> = entries.filter_map(|address| read_table(Maddr(address))).collect();

        let mut acpi = Self::default();
        if let Some(madt) = find(&tables, b"APIC").and_then(|table| Madt::new(table).ok()) {
            acpi.local_apic = Some(madt.local_apic_address());
            madt.entries().for_each(|entry| acpi.add(entry));
        }
        acpi.hpet = find(&tables, b"HPET").and_then(|table| hpet(table).ok()?);
        if let Some(spaces) = find(&tables, b"MCFG").and_then(|table| config_spaces(table).ok()) {
            acpi.pci.extend(spaces);
        }
        acpi.tables = tables;
        acpi
    }

    /// The first table of a name.
    pub fn find(&self, signature: &[u8; 4]) -> Option<Table<'_>> {
        find(&self.tables, signature)
    }

    /// The fixed hardware.
    pub fn fadt(&self) -> Option<Fadt<'_>> {
        Fadt::new(self.find(b"FACP")?).ok()
    }

    /// The line and its mode of an ISA interrupt.
    pub fn isa_line(&self, irq: u8) -> SourceOverride {
        let usual = SourceOverride { irq, gsi: irq.into(), polarity: Polarity::High, trigger: Trigger::Edge };
        self.overrides.iter().find(|wired| wired.irq == irq).copied().unwrap_or(usual)
    }

    /// The sleep types that switch the machine off.
    pub fn soft_off(&self) -> Option<(u8, u8)> {
        let dsdt = read_table(self.fadt()?.dsdt())?;
        tenon_core::acpi::soft_off(&dsdt.bytes)
    }

    fn add(&mut self, entry: MadtEntry) {
        match entry {
            MadtEntry::Cpu { apic_id, uid, enabled: true, .. } => {
                // CPUs below 255 may be listed twice, once for each kind of APIC.
                let known = self.cpus.iter().any(|cpu| cpu.apic == apic_id);
                // 0xff and all ones are the broadcast ids.
                if !known && apic_id != 0xff && apic_id != u32::MAX && self.cpus.len() < CPUS_MAX {
                    self.cpus.push(CpuIds { apic: apic_id, acpi: uid });
                }
            }
            MadtEntry::IoApic(io_apic) => self.io_apics.push(io_apic),
            MadtEntry::Override(over) => self.overrides.push(over),
            MadtEntry::LocalApicAddress(address) => self.local_apic = Some(address),
            MadtEntry::Cpu { .. } | MadtEntry::Other(_) => {}
        }
    }
}

/// Copies the table at an address; says what is wrong with it if something is.
pub fn read_table(address: Maddr) -> Option<FirmwareTable> {
    let header = read(address, HEADER_LEN)?;
    let len = Table::len_from_header(&header).filter(|len| *len <= TABLE_MAX);
    let Some(len) = len else {
        log::warn!("the ACPI table at {address} has an impossible length");
        return None;
    };
    let bytes = read(address, len)?;
    match Table::new(&bytes) {
        Ok(_) => Some(FirmwareTable { address, bytes }),
        Err(error) => {
            log::warn!("ACPI table {} at {address}: {error}", bytes[..4].escape_ascii());
            None
        }
    }
}

/// Copies firmware memory, wherever it is.
fn read(address: Maddr, len: usize) -> Option<Vec<u8>> {
    // SAFETY: read-only, of memory that the firmware says is a table.
    let mapped = unsafe { vmap::map_device(address, len, Caching::WriteBack) }.ok()?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.extend((0..len).map(|offset| mapped.read8(offset)));
    Some(bytes)
}

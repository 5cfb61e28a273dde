//! MADT: CPUs and interrupt controllers (ACPI 6.5, 5.2.12).

use super::{Table, TableError, u8_at, u16_at, u32_at, u64_at};
use crate::frame::Maddr;

/// Header, local APIC address, flags.
const FIXED_LEN: usize = 44;
const FLAG_ENABLED: u32 = 1 << 0;
const FLAG_ONLINE_CAPABLE: u32 = 1 << 1;

/// An interrupt line's active level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// Active high.
    High,
    /// Active low.
    Low,
}

/// An interrupt line's trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On the edge.
    Edge,
    /// While the level lasts.
    Level,
}

/// An IO-APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its id.
    pub id: u8,
    /// Its registers.
    pub address: Maddr,
    /// The number of its first line among all.
    pub gsi_base: u32,
}

/// An ISA interrupt that is not wired one to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceOverride {
    /// The ISA interrupt.
    pub irq: u8,
    /// The line it arrives at.
    pub gsi: u32,
    /// Active level; ISA's is high.
    pub polarity: Polarity,
    /// Trigger; ISA's is the edge.
    pub trigger: Trigger,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadtEntry {
    /// A CPU (local APIC or x2APIC structure).
    Cpu {
        /// Its local APIC id.
        apic_id: u32,
        /// The processor's ACPI UID.
        uid: u32,
        /// Usable from the start.
        enabled: bool,
        /// Not now, but it may be brought up.
        online_capable: bool,
    },
    /// An IO-APIC.
    IoApic(IoApic),
    /// An override.
    Override(SourceOverride),
    /// The local APICs are here instead.
    LocalApicAddress(Maddr),
    /// Anything else, by its type.
    Other(u8),
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a>(&'a [u8]);

impl<'a> Madt<'a> {
    /// Takes a table that is a MADT.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn new(table: Table<'a>) -> Result<Self, TableError> {
        table.expect(b"APIC", FIXED_LEN).map(Self)
    }

    /// Where the local APICs are, unless an entry says otherwise.
    pub fn local_apic_address(&self) -> Maddr {
        Maddr(u64::from(u32_at(self.0, 36).unwrap_or(0xfee0_0000)))
    }

    /// The entries; a malformed one ends them.
    pub fn entries(&self) -> impl Iterator<Item = MadtEntry> + use<'a> {
        structures(self.0).map(|(kind, bytes)| parse(kind, bytes).unwrap_or(MadtEntry::Other(kind)))
    }
}

/// The types and bytes of a MADT's entries. One shorter than its own head, or longer than the table, ends them.
pub(crate) fn structures(madt: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = madt.get(FIXED_LEN..).unwrap_or_default();
    core::iter::from_fn(move || {
        let &[kind, length, ..] = rest else { return None };
        let (entry, after) = rest.split_at_checked(usize::from(length)).filter(|_| length >= 2)?;
        rest = after;
        Some((kind, entry))
    })
}

fn parse(kind: u8, entry: &[u8]) -> Option<MadtEntry> {
    let cpu = |apic_id, uid, flags: u32| MadtEntry::Cpu {
        apic_id,
        uid,
        enabled: flags & FLAG_ENABLED != 0,
        online_capable: flags & FLAG_ONLINE_CAPABLE != 0,
    };
    Some(match kind {
        0 => cpu(u32::from(u8_at(entry, 3)?), u32::from(u8_at(entry, 2)?), u32_at(entry, 4)?),
        1 => MadtEntry::IoApic(IoApic {
            id: u8_at(entry, 2)?,
            address: Maddr(u64::from(u32_at(entry, 4)?)),
            gsi_base: u32_at(entry, 8)?,
        }),
        2 => {
            let flags = u16_at(entry, 8)?;
            MadtEntry::Override(SourceOverride {
                irq: u8_at(entry, 3)?,
                gsi: u32_at(entry, 4)?,
                polarity: if flags & 3 == 3 { Polarity::Low } else { Polarity::High },
                trigger: if flags >> 2 & 3 == 3 { Trigger::Level } else { Trigger::Edge },
            })
        }
        5 => MadtEntry::LocalApicAddress(Maddr(u64_at(entry, 4)?)),
        9 => cpu(u32_at(entry, 4)?, u32_at(entry, 12)?, u32_at(entry, 8)?),
        other => MadtEntry::Other(other),
    })
}

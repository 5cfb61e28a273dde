//! MCFG: memory-mapped PCI configuration space (PCI firmware specification 3.3, 4.1.2).

use super::{HEADER_LEN, Table, TableError, u8_at, u16_at, u64_at};
use crate::frame::Maddr;

const ENTRIES: usize = HEADER_LEN + 8;
const ENTRY_LEN: usize = 16;

/// The configuration space of a run of buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigSpace {
    /// Where bus 0 of the segment would be; each bus takes 1 MiB.
    pub base: Maddr,
    /// The PCI segment.
    pub segment: u16,
    /// The first bus.
    pub first_bus: u8,
    /// The last bus.
    pub last_bus: u8,
}

/// The runs of buses that an MCFG tells of.
///
/// # Errors
/// [`TableError`] if it is another table.
pub fn config_spaces<'a>(
    table: Table<'a>,
) -> Result<impl Iterator<Item = ConfigSpace> + use<'a>, TableError> {
    let entries = table.expect(b"MCFG", ENTRIES)?.get(ENTRIES..).unwrap_or_default();
    Ok(entries.chunks_exact(ENTRY_LEN).filter_map(|entry| {
        Some(ConfigSpace {
            base: Maddr(u64_at(entry, 0)?),
            segment: u16_at(entry, 8)?,
            first_bus: u8_at(entry, 10)?,
            last_bus: u8_at(entry, 11)?,
        })
    }))
}

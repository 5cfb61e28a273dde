//! HPET: the high-precision timer block (IA-PC HPET specification 1.0a, 3.2.4).

use super::{Table, TableError, u8_at, u64_at};
use crate::frame::Maddr;

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hpet {
    /// The registers.
    pub address: Maddr,
}

impl Hpet {
    /// Takes a table that is an HPET table; `None` if the registers are not in memory.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn new(table: Table<'_>) -> Result<Option<Self>, TableError> {
        let bytes = table.expect(b"HPET", 56)?;
        let in_memory = u8_at(bytes, 40) == Some(0);
        Ok(u64_at(bytes, 44).filter(|at| in_memory && *at != 0).map(|at| Self { address: Maddr(at) }))
    }
}

//! HPET: the high-precision timer block (IA-PC HPET specification 1.0a, 3.2.4).

use super::{Table, TableError, u8_at, u64_at};
use crate::frame::Maddr;

/// The registers that an HPET table tells of; `None` if they are not in memory.
///
/// # Errors
/// [`TableError`] if it is another table.
pub fn hpet(table: Table<'_>) -> Result<Option<Maddr>, TableError> {
    let bytes = table.expect(b"HPET", 56)?;
    let in_memory = u8_at(bytes, 40) == Some(0);
    Ok(u64_at(bytes, 44).filter(|at| in_memory && *at != 0).map(Maddr))
}

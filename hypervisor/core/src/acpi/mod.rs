//! ACPI tables as bytes: what the hypervisor needs of them (ACPI 6.5, chapter 5), and no AML.
//!
//! Firmware wrote the tables, so what is wrong in one is reported and skipped, never believed.

mod dmar;
mod fadt;
mod hpet;
mod iommu;
mod ivrs;
mod madt;
mod mcfg;
mod sleep;

use crate::errors;

pub use dmar::{Dmar, VtdUnit};
pub use fadt::{AddressSpace, Fadt, GenericAddress};
pub use hpet::hpet;
pub use iommu::{IommuError, Reserved};
pub use ivrs::{AmdUnit, Ivrs};
pub(crate) use madt::structures;
pub use madt::{IoApic, Madt, MadtEntry, Polarity, SourceOverride, Trigger};
pub use mcfg::{ConfigSpace, config_spaces};
pub use sleep::soft_off;

/// Bytes of the header that every table starts with.
pub const HEADER_LEN: usize = 36;

errors! {
    /// What is wrong with a table.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TableError {
        /// Shorter than its kind must be.
        Short { len: usize } => "the table has only {len} bytes";
        /// The bytes do not add up to zero.
        Checksum => "the table's checksum is wrong";
        /// Another table than expected.
        Signature(name: [u8; 4]) => "the table is {}", name.escape_ascii();
    }
}

/// A table's bytes, header included; the length and the checksum are right.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// Checks the header and the checksum; bytes past the table's own length are cut off.
    ///
    /// # Errors
    /// [`TableError::Short`], [`TableError::Checksum`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, TableError> {
        let len = Self::len_from_header(bytes).ok_or(TableError::Short { len: bytes.len() })?;
        let bytes = bytes.get(..len).ok_or(TableError::Short { len: bytes.len() })?;
        if checksum(bytes) == 0 { Ok(Self(bytes)) } else { Err(TableError::Checksum) }
    }

    /// The length that a header tells, if it can be one.
    pub fn len_from_header(header: &[u8]) -> Option<usize> {
        let len = u32_at(header, 4)? as usize;
        (len >= HEADER_LEN).then_some(len)
    }

    /// The table's name.
    pub fn signature(&self) -> [u8; 4] {
        bytes_at(self.0, 0).unwrap_or_default()
    }

    /// The addresses in an RSDT or XSDT.
    pub fn entries(&self) -> impl Iterator<Item = u64> + use<'a> {
        let wide = self.signature() == *b"XSDT";
        let body = self.0.get(HEADER_LEN..).unwrap_or_default();
        body.chunks_exact(if wide { 8 } else { 4 })
            .filter_map(move |entry| if wide { u64_at(entry, 0) } else { u32_at(entry, 0).map(u64::from) })
            .filter(|address| *address != 0)
    }

    /// The table, if it has this name and at least `len` bytes.
    fn expect(self, signature: &[u8; 4], len: usize) -> Result<&'a [u8], TableError> {
        if self.signature() != *signature {
            return Err(TableError::Signature(self.signature()));
        }
        if self.0.len() < len {
            return Err(TableError::Short { len: self.0.len() });
        }
        Ok(self.0)
    }
}

/// The byte that makes the sum of all bytes zero.
pub(crate) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_sub(*byte))
}

fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

fn u8_at(bytes: &[u8], offset: usize) -> Option<u8> {
    bytes.get(offset).copied()
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes_at(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes_at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes_at(bytes, offset).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;

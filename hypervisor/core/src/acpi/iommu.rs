//! What the tables of both kinds of IOMMU have in common: they are lists of structures, and a damaged one is of no use.

use crate::acpi::TableError;
use crate::errors;
use crate::frame::{Maddr, PAGE_SIZE};

errors! {
    /// What is wrong with a DMAR or IVRS table. `at` is the structure's offset in it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum IommuError {
        /// A structure is longer than what is left of the table, or shorter than its own head.
        Length { at: usize } => "the structure at {at:#x} has an impossible length";
        /// A structure is shorter than its kind must be.
        Short { at: usize } => "the structure at {at:#x} is too short";
        /// No place for registers.
        Registers { at: usize, registers: Maddr } => "the unit at {at:#x} has its registers at {registers}";
        /// No range of pages.
        Range { at: usize, start: u64, end: u64 }
            => "the structure at {at:#x} reserves {start:#x}-{end:#x}, which are no pages";
        /// The table is about nothing.
        NoUnit => "it lists no unit";
    }
    passes on {
        /// Not the table.
        Table(TableError);
    }
}

/// Memory that devices are to reach at its own address whatever the domain has there, because firmware says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The first byte, which starts a page.
    pub start: u64,
    /// The first byte past it, which does as well.
    pub end: u64,
    /// Whether it may be written.
    pub write: bool,
}

impl Reserved {
    pub(super) fn new(at: usize, start: u64, end: u64, write: bool) -> Result<Self, IommuError> {
        let is_page = |address: u64| address.is_multiple_of(PAGE_SIZE as u64);
        let good = start < end && is_page(start) && is_page(end);
        if good { Ok(Self { start, end, write }) } else { Err(IommuError::Range { at, start, end }) }
    }
}

/// The structures of a table from `first` on: kind, offset and bytes of each. `header` reads kind and length.
pub(super) fn structures<K>(
    table: &[u8],
    first: usize,
    header: impl Fn(&[u8]) -> Option<(K, usize)>,
) -> impl Iterator<Item = Result<(K, usize, &[u8]), IommuError>> {
    let mut at = first;
    core::iter::from_fn(move || {
        let rest = table.get(at..).filter(|rest| !rest.is_empty())?;
        // Every structure's head is four bytes.
        let structure =
            header(rest).filter(|(_, len)| *len >= 4).and_then(|(kind, len)| Some((kind, rest.get(..len)?)));
        let Some((kind, bytes)) = structure else {
            let error = IommuError::Length { at };
            at = table.len();
            return Some(Err(error));
        };
        let offset = at;
        at += bytes.len();
        Some(Ok((kind, offset, bytes)))
    })
}

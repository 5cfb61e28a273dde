//! The machine's physical memory map: what firmware and boot loader say, sorted, without overlaps.
//!
//! Invariant: ranges ascend, do not overlap, and neighbours of one kind are one range. Needs no heap, because the
//! heap's memory is chosen by it; hence the fixed capacity.

use core::fmt;

use crate::frame::{Maddr, PAGE_SIZE};

/// Ranges that a map can hold. Firmware gives a few dozen at most.
pub const CAPACITY: usize = 256;

/// What a range of physical addresses holds. Where claims overlap, the later kind in this list wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Memory for anybody.
    Ram,
    /// ACPI tables; RAM once they have been read.
    AcpiReclaimable,
    /// Memory that firmware uses at run time.
    AcpiNvs,
    /// Not to be touched.
    Reserved,
    /// Broken memory.
    Unusable,
    /// RAM below 1 MiB, kept for starting CPUs and for firmware.
    LowMemory,
    /// RAM that a boot module fills.
    Module,
    /// RAM that holds the hypervisor.
    Hypervisor,
}

impl Kind {
    /// The kind of an E820 entry of this type (ACPI 6.5, table 15.6); unknown types are not touched.
    pub const fn from_e820(kind: u32) -> Self {
        match kind {
            1 => Self::Ram,
            3 => Self::AcpiReclaimable,
            4 => Self::AcpiNvs,
            5 => Self::Unusable,
            _ => Self::Reserved,
        }
    }

    /// The kind of an EFI memory descriptor of this type after ExitBootServices (UEFI 2.10, table 7.10).
    pub const fn from_efi(kind: u32) -> Self {
        match kind {
            // Loader code and data, boot services code and data, conventional.
            1..=4 | 7 => Self::Ram,
            8 => Self::Unusable,
            9 => Self::AcpiReclaimable,
            10 => Self::AcpiNvs,
            _ => Self::Reserved,
        }
    }

    /// The E820 type that tells a guest of such a range.
    pub const fn to_e820(self) -> u32 {
        match self {
            Self::Ram | Self::LowMemory | Self::Module | Self::Hypervisor => 1,
            Self::Reserved => 2,
            Self::AcpiReclaimable => 3,
            Self::AcpiNvs => 4,
            Self::Unusable => 5,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ram => "RAM",
            Self::AcpiReclaimable => "ACPI tables",
            Self::AcpiNvs => "ACPI NVS",
            Self::Reserved => "reserved",
            Self::Unusable => "unusable",
            Self::LowMemory => "low memory",
            Self::Module => "boot module",
            Self::Hypervisor => "hypervisor",
        })
    }
}

/// A run of physical addresses, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub start: Maddr,
    /// The first byte past the range.
    pub end: Maddr,
    /// What it holds.
    pub kind: Kind,
}

impl Range {
    /// A range from its start and length; the length is cut at the end of the address space.
    pub const fn new(start: u64, len: u64, kind: Kind) -> Self {
        Self { start: Maddr(start), end: Maddr(start.saturating_add(len)), kind }
    }

    /// Bytes in the range.
    pub const fn len(&self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether the range has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// More ranges than [`CAPACITY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRanges;

impl fmt::Display for TooManyRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the memory map has more than {CAPACITY} ranges")
    }
}

/// A physical memory map.
#[derive(Clone)]
pub struct MemoryMap {
    ranges: [Range; CAPACITY],
    count: usize,
}

impl Default for MemoryMap {
    fn default() -> Self {
        Self { ranges: [Range::new(0, 0, Kind::Ram); CAPACITY], count: 0 }
    }
}

impl MemoryMap {
    /// The ranges, ascending.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges[..self.count]
    }

    /// The ranges of one kind, ascending.
    pub fn of_kind(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Range> + Clone {
        self.ranges().iter().filter(move |r| r.kind == kind)
    }

    /// All bytes of one kind.
    pub fn total(&self, kind: Kind) -> u64 {
        self.of_kind(kind).map(Range::len).sum()
    }

    /// The kind of the range that holds `addr`, if one does.
    pub fn kind_at(&self, addr: Maddr) -> Option<Kind> {
        self.ranges().iter().find(|r| r.start <= addr && addr < r.end).map(|r| r.kind)
    }

    /// The first address past all memory of kinds that are RAM or ACPI data.
    pub fn memory_end(&self) -> Maddr {
        let memory = |r: &&Range| !matches!(r.kind, Kind::Reserved | Kind::Unusable);
        self.ranges().iter().rev().find(memory).map_or(Maddr(0), |r| r.end)
    }

    /// Adds a claim about a range. Where it overlaps earlier claims, the stronger [`Kind`] stays.
    ///
    /// # Errors
    /// [`TooManyRanges`]; the map is unchanged then.
    #[inline(never)]
    pub fn insert(&mut self, new: Range) -> Result<(), TooManyRanges> {
        if new.is_empty() {
            return Ok(());
        }
        let mut merged = Self::default();
        // What of the new range lies past everything emitted so far.
        let mut rest = new;
        for old in self.ranges() {
            if rest.is_empty() || old.end <= rest.start {
                merged.push(*old)?;
                continue;
            }
            // The new range's part in the gap before this old one.
            merged.push(Range { end: rest.end.min(old.start), ..rest })?;
            rest.start = rest.start.max(old.start);
            // Old alone, both, old alone again.
            merged.push(Range { end: old.end.min(rest.start), ..*old })?;
            let both_end = old.end.min(rest.end).max(rest.start);
            merged.push(Range {
                start: rest.start.min(both_end),
                end: both_end,
                kind: old.kind.max(new.kind),
            })?;
            merged.push(Range { start: old.start.max(both_end), ..*old })?;
            rest.start = both_end;
        }
        merged.push(rest)?;
        *self = merged;
        Ok(())
    }

    /// Appends a range that starts at or after the last one's end.
    fn push(&mut self, range: Range) -> Result<(), TooManyRanges> {
        if range.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.ranges[..self.count].last_mut()
            && last.kind == range.kind
            && last.end == range.start
        {
            last.end = range.end;
            return Ok(());
        }
        *self.ranges.get_mut(self.count).ok_or(TooManyRanges)? = range;
        self.count += 1;
        Ok(())
    }

    /// Shrinks RAM to whole pages; the cut-off pieces become reserved.
    ///
    /// # Errors
    /// [`TooManyRanges`]; the map is unchanged then.
    #[inline(never)]
    pub fn page_align_ram(&mut self) -> Result<(), TooManyRanges> {
        let page = PAGE_SIZE as u64;
        let mut aligned = self.clone();
        for ram in self.of_kind(Kind::Ram) {
            // Both at the range's end if it holds no whole page.
            let start = (ram.start.0.div_ceil(page) * page).min(ram.end.0);
            let end = (ram.end.0 / page * page).max(start);
            aligned.insert(Range::new(ram.start.0, start - ram.start.0, Kind::Reserved))?;
            aligned.insert(Range::new(end, ram.end.0 - end, Kind::Reserved))?;
        }
        *self = aligned;
        Ok(())
    }

    /// The highest run of RAM of `len` bytes that lies in `within`, aligned to `align` (a power of two).
    pub fn find_highest(&self, len: u64, align: u64, within: core::ops::Range<u64>) -> Option<Maddr> {
        self.of_kind(Kind::Ram).rev().find_map(|ram| {
            let end = ram.end.0.min(within.end);
            let start = end.checked_sub(len)? & !(align - 1);
            (start >= ram.start.0.max(within.start)).then_some(Maddr(start))
        })
    }
}

#[cfg(test)]
mod tests;

//! Where things are in a new guest's physical address space.
//!
//! The map is the one that Xen's tools give PVH guests: RAM from 0 up to a hole below 4 GiB, the rest of it from
//! 4 GiB on; in the hole the ACPI tables, the local APIC and the pages shared with the daemons.
//!
//! ```text
//! 0            RAM
//! 0xfc00_0000  ACPI tables (own pages)
//! 0xfee0_0000  local APIC
//! 0xfeff_8000  special pages: xenstore ring at 0xfeff_c000, console ring at 0xfeff_f000
//! 4 GiB        RAM, as far as it did not fit below
//! ```

use hypercall_abi::start_info::{MEMMAP_TYPE_ACPI, MEMMAP_TYPE_RAM, MEMMAP_TYPE_RESERVED};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Where RAM below 4 GiB ends at the latest, and the ACPI tables are.
pub const HOLE_START: u64 = 0xfc00_0000;
/// Where RAM goes on.
const HOLE_END: u64 = 1 << 32;
/// The first of the special pages that Xen reserves.
const SPECIAL_START: u64 = 0xfeff_8000;
const SPECIAL_END: u64 = 0xff00_0000;
/// The guest frame of the xenstore ring.
pub const XENSTORE_GFN: u64 = 0xfeffc;
/// The guest frame of the console ring.
pub const CONSOLE_GFN: u64 = 0xfefff;

/// How the memory map of `start_info` and of `XENMEM_memory_map` types a range (the numbers are E820's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// RAM.
    Ram = MEMMAP_TYPE_RAM,
    /// Not to be used.
    Reserved = MEMMAP_TYPE_RESERVED,
    /// ACPI tables.
    Acpi = MEMMAP_TYPE_ACPI,
}

/// A range of the guest's memory map, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// Its first byte.
    pub start: u64,
    /// Its length.
    pub size: u64,
    /// What is there.
    pub kind: MapKind,
}

/// Neighbouring extents of one size that one `populate_physmap` call can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentRun {
    /// The first guest frame.
    pub first: u64,
    /// Each extent has `1 << order` frames.
    pub order: u32,
    /// How many extents.
    pub count: u64,
}

impl ExtentRun {
    /// The run without its first `done` extents, if anything is left.
    #[must_use]
    pub fn after(self, done: u64) -> Option<Self> {
        let count = self.count.checked_sub(done).filter(|count| *count > 0)?;
        Some(Self { first: self.first + (done << self.order), count, ..self })
    }

    /// The first extent as a run of the next smaller ones.
    #[must_use]
    pub fn first_in_smaller(self) -> Self {
        let order = if self.order > ORDER_2M { ORDER_2M } else { 0 };
        Self { first: self.first, order, count: 1 << (self.order - order) }
    }
}

/// Frame order of a 2 MiB page.
const ORDER_2M: u32 = 9;
/// Frame order of a 1 GiB page.
const ORDER_1G: u32 = 18;

/// The RAM of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ram {
    /// The end of the RAM below 4 GiB, bytes.
    low_end: u64,
    /// The end of the RAM above 4 GiB, bytes; 4 GiB when there is none.
    high_end: u64,
}

impl Ram {
    /// `mib` MiB of RAM. The guest file limits `mib` to 2^26, so nothing here overflows.
    #[must_use]
    pub const fn of_mib(mib: u64) -> Self {
        let bytes = mib * MIB;
        if bytes <= HOLE_START {
            Self { low_end: bytes, high_end: HOLE_END }
        } else {
            Self { low_end: HOLE_START, high_end: HOLE_END + (bytes - HOLE_START) }
        }
    }

    /// Where the RAM below 4 GiB ends, bytes.
    #[must_use]
    pub const fn low_end(&self) -> u64 {
        self.low_end
    }

    /// Whether the `size` bytes from `start` are RAM.
    #[must_use]
    pub fn contains(&self, start: u64, size: u64) -> bool {
        let Some(end) = start.checked_add(size) else { return false };
        end <= self.low_end || (start >= HOLE_END && end <= self.high_end)
    }

    /// Frames of RAM.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        (self.low_end + (self.high_end - HOLE_END)) / PAGE
    }

    /// The extents that make up the RAM, each as large as its place allows.
    #[must_use]
    pub fn extents(&self) -> Vec<ExtentRun> {
        let mut runs = Vec::new();
        for (start, end) in [(0, self.low_end), (HOLE_END, self.high_end)] {
            split(start / PAGE, end / PAGE, &[ORDER_1G, ORDER_2M, 0], &mut runs);
        }
        runs
    }

    /// The memory map as the guest is told, with `acpi_bytes` of tables.
    #[must_use]
    pub fn memory_map(&self, acpi_bytes: u64) -> Vec<MapEntry> {
        let entry = |start, end, kind| MapEntry { start, size: end - start, kind };
        let mut map = vec![
            entry(0, self.low_end, MapKind::Ram),
            entry(HOLE_START, HOLE_START + acpi_bytes.next_multiple_of(PAGE), MapKind::Acpi),
            entry(SPECIAL_START, SPECIAL_END, MapKind::Reserved),
        ];
        if self.high_end > HOLE_END {
            map.push(entry(HOLE_END, self.high_end, MapKind::Ram));
        }
        map
    }
}

/// Splits frames `from..to` into runs of aligned extents of the given orders, the largest first; the last is 0.
fn split(from: u64, to: u64, orders: &[u32], runs: &mut Vec<ExtentRun>) {
    let Some((&order, smaller)) = orders.split_first().filter(|_| from < to) else { return };
    let start = from.next_multiple_of(1 << order).min(to);
    let end = (to >> order << order).max(start);
    split(from, start, smaller, runs);
    if start < end {
        runs.push(ExtentRun { first: start, order, count: (end - start) >> order });
    }
    split(end, to, smaller, runs);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_guest_is_all_2_mib_pages() {
        let ram = Ram::of_mib(256);
        assert_eq!(ram.extents(), [ExtentRun { first: 0, order: ORDER_2M, count: 128 }]);
        assert_eq!(ram.memory_map(5000)[1].size, 8192);
    }

    #[test]
    fn an_extent_that_cannot_be_had_is_split() {
        let run = ExtentRun { first: 0, order: ORDER_1G, count: 3 };
        let left = run.after(1).unwrap();
        assert_eq!(left, ExtentRun { first: 1 << 18, count: 2, ..run });
        let smaller = left.first_in_smaller();
        assert_eq!(smaller, ExtentRun { first: 1 << 18, order: ORDER_2M, count: 512 });
        assert_eq!(smaller.first_in_smaller(), ExtentRun { first: 1 << 18, order: 0, count: 512 });
        assert_eq!(run.after(3), None);
    }

    #[test]
    fn a_large_guest_goes_around_the_hole() {
        let ram = Ram::of_mib(6144 + 1);
        let low_gib = ExtentRun { first: 0, order: ORDER_1G, count: 3 };
        assert_eq!(ram.extents()[0], low_gib);
        let last = *ram.memory_map(1).last().unwrap();
        assert_eq!((last.start, last.kind), (1 << 32, MapKind::Ram));
        assert_eq!(ram.frames(), 6145 * 256);
    }

    proptest! {
        #[test]
        fn extents_cover_the_ram_once(mib in 1_u64..1 << 26) {
            let ram = Ram::of_mib(mib);
            let mut next = 0;
            for run in ram.extents() {
                if run.first == HOLE_END / PAGE {
                    prop_assert_eq!(next, HOLE_START / PAGE);
                    next = run.first;
                }
                prop_assert_eq!(run.first, next);
                prop_assert!(run.count > 0);
                prop_assert!(run.first.is_multiple_of(1 << run.order));
                next += run.count << run.order;
            }
            prop_assert!(ram.extents().len() < 12);
            prop_assert_eq!(ram.extents().iter().map(|r| r.count << r.order).sum::<u64>(), mib * 256);
        }

        #[test]
        fn the_map_is_sorted_and_disjoint(mib in 1_u64..1 << 26, acpi in 1_u64..1 << 20) {
            let map = Ram::of_mib(mib).memory_map(acpi);
            for pair in map.windows(2) {
                prop_assert!(pair[0].start + pair[0].size <= pair[1].start);
            }
            let ram: u64 = map.iter().filter(|e| e.kind == MapKind::Ram).map(|e| e.size).sum();
            prop_assert_eq!(ram, mib << 20);
        }
    }
}

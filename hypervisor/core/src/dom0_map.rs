//! What domain 0 finds at each physical address.
//!
//! Guest frame and machine frame are the same number. The domain has the RAM that it was given and everything
//! that is not RAM; RAM of others, the hypervisor's included, is shown as reserved, so that nothing of the domain
//! (a BAR, a foreign mapping) is put there. What Tenon emulates or keeps is taken out of the mapping.

use core::fmt;

use alloc::vec::Vec;
use hypercall_abi::start_info::HvmMemmapTableEntry;

use crate::frame::{Gfn, Maddr, PAGE_SIZE};
use crate::memory_map::{Kind, MemoryMap};

/// Entries that Linux takes of a memory map (the boot protocol's `e820_table`).
pub const MAX_ENTRIES: usize = 128;

const RAM: u32 = 1;
const RESERVED: u32 = 2;
const ACPI: u32 = 3;

/// A run of physical addresses, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The first byte past it.
    pub end: u64,
}

impl Span {
    const fn holds(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    const fn touches_page(&self, frame: Gfn) -> bool {
        let start = frame.addr().0;
        self.start < start.saturating_add(PAGE_SIZE as u64) && start < self.end
    }
}

/// What a guest frame of domain 0 is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The domain's own RAM.
    Ram,
    /// Firmware's memory: mapped one to one, cacheable.
    Firmware,
    /// A device, or nothing: mapped one to one, uncached unless the guest says otherwise.
    Device,
    /// Emulated: never mapped, accesses go to the emulator.
    Emulated,
    /// RAM that is not the domain's, or broken: never mapped.
    Denied,
}

/// The memory map cannot be told to the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyEntries(pub usize);

impl fmt::Display for TooManyEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "domain 0's memory map has {} entries, Linux takes {MAX_ENTRIES}", self.0)
    }
}

/// Domain 0's physical address space.
#[derive(Clone)]
pub struct Dom0Map<'a> {
    host: &'a MemoryMap,
    /// The domain's RAM: a few pieces.
    ram: Vec<Span>,
    /// Where its ACPI tables were placed, in its RAM.
    acpi: Span,
    /// Register windows that Tenon emulates: I/O APICs, configuration space, what it keeps.
    emulated: Vec<Span>,
}

impl<'a> Dom0Map<'a> {
    /// A map from the machine's, the domain's RAM in any order, the place of its new ACPI tables in that RAM, and
    /// the windows that are not to be mapped. Empty spans are allowed everywhere.
    pub fn new(host: &'a MemoryMap, mut ram: Vec<Span>, acpi: Span, emulated: Vec<Span>) -> Self {
        ram.retain(|span| span.start < span.end);
        Self { host, ram, acpi, emulated }
    }

    fn is_ram(&self, address: u64) -> bool {
        self.ram.iter().any(|span| span.holds(address))
    }

    /// What `frame` is to be mapped to. Answers without a table, so that devices can be mapped when first touched.
    pub fn place(&self, frame: Gfn) -> Place {
        let address = frame.addr().0;
        if self.is_ram(address) {
            return Place::Ram;
        }
        if self.emulated.iter().any(|span| span.touches_page(frame)) {
            return Place::Emulated;
        }
        match self.host.kind_at(Maddr(address)) {
            Some(Kind::Ram | Kind::LowMemory | Kind::Module | Kind::Hypervisor | Kind::Unusable) => {
                Place::Denied
            }
            Some(Kind::AcpiReclaimable | Kind::AcpiNvs) => Place::Firmware,
            Some(Kind::Reserved) | None => Place::Device,
        }
    }

    /// Whether the domain reaches all `count` frames from `first` directly, as one mapping: a single frame of a device's
    /// or of firmware's, or a run of devices' frames only.
    pub fn is_direct(&self, first: Gfn, count: u64) -> bool {
        if count == 1 {
            return matches!(self.place(first), Place::Device | Place::Firmware);
        }
        let start = first.addr().0;
        let Some(end) = count.checked_mul(PAGE_SIZE as u64).and_then(|len| start.checked_add(len)) else {
            return false;
        };
        let meets = |from: u64, to: u64| from < end && start < to;
        let of_others = |kind| !matches!(kind, Kind::Reserved);
        !self.ram.iter().chain(&self.emulated).any(|span| meets(span.start, span.end))
            && !self.host.ranges().iter().any(|r| of_others(r.kind) && meets(r.start.0, r.end.0))
    }

    /// The E820 type at `address`, if the map says anything about it.
    fn e820(&self, address: u64) -> Option<u32> {
        if self.acpi.holds(address) {
            return Some(ACPI);
        }
        if self.is_ram(address) {
            return Some(RAM);
        }
        self.host.kind_at(Maddr(address)).map(|kind| match kind.to_e820() {
            RAM => RESERVED,
            other => other,
        })
    }

    /// The map that the domain is told, by start information and `XENMEM_memory_map`.
    ///
    /// # Errors
    /// [`TooManyEntries`] if the domain's RAM lies in too many pieces.
    pub fn entries(&self) -> Result<Vec<HvmMemmapTableEntry>, TooManyEntries> {
        let mut edges: Vec<u64> = self
            .host
            .ranges()
            .iter()
            .flat_map(|range| [range.start.0, range.end.0])
            .chain(self.ram.iter().chain([&self.acpi]).flat_map(|span| [span.start, span.end]))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let mut entries: Vec<HvmMemmapTableEntry> = Vec::new();
        for (start, end) in edges.iter().zip(edges.iter().skip(1)) {
            let Some(kind) = self.e820(*start) else { continue };
            match entries.last_mut() {
                Some(last) if last.kind == kind && last.addr + last.size == *start => {
                    last.size += end - start
                }
                _ => {
                    entries.push(HvmMemmapTableEntry { addr: *start, size: end - start, kind, reserved: 0 });
                }
            }
        }
        if entries.len() > MAX_ENTRIES { Err(TooManyEntries(entries.len())) } else { Ok(entries) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_map::Range;
    use proptest::prelude::*;
    use std::vec;

    fn host() -> MemoryMap {
        let mut map = MemoryMap::default();
        for (start, len, kind) in [
            (0, 0x9_f000, Kind::LowMemory),
            (0xf_0000, 0x1_0000, Kind::Reserved),
            (0x10_0000, 0x7fe0_0000, Kind::Ram),
            (0x20_0000, 0x40_0000, Kind::Hypervisor),
            (0x7ff0_0000, 0x1_0000, Kind::AcpiReclaimable),
            (0x7ff1_0000, 0x1_0000, Kind::AcpiNvs),
            (0xb000_0000, 0x1000_0000, Kind::Reserved),
            (0x1_0000_0000, 0x8000_0000, Kind::Ram),
        ] {
            map.insert(Range::new(start, len, kind)).unwrap();
        }
        map
    }

    const NONE: Span = Span { start: 0, end: 0 };

    #[test]
    fn the_rest_is_reserved() {
        let host = host();
        let ram = vec![Span { start: 0x1000_0000, end: 0x5000_0000 }, Span { start: 0x1000, end: 0x9_f000 }];
        let acpi = Span { start: 0x4fff_e000, end: 0x5000_0000 };
        let map = Dom0Map::new(&host, ram, acpi, vec![]);
        let told: Vec<_> = map.entries().unwrap().iter().map(|e| (e.addr, e.addr + e.size, e.kind)).collect();
        assert_eq!(
            told,
            [
                (0, 0x1000, RESERVED),
                (0x1000, 0x9_f000, RAM),
                (0xf_0000, 0x1000_0000, RESERVED),
                (0x1000_0000, 0x4fff_e000, RAM),
                (0x4fff_e000, 0x5000_0000, ACPI),
                (0x5000_0000, 0x7ff0_0000, RESERVED),
                (0x7ff0_0000, 0x7ff1_0000, ACPI),
                (0x7ff1_0000, 0x7ff2_0000, 4),
                (0xb000_0000, 0xc000_0000, RESERVED),
                (0x1_0000_0000, 0x1_8000_0000, RESERVED),
            ]
        );
    }

    #[test]
    fn frames_lead_where_they_may() {
        let host = host();
        let ecam = Span { start: 0xb000_0000, end: 0xc000_0000 };
        let small = Span { start: 0xfec0_0010, end: 0xfec0_0020 };
        let map =
            Dom0Map::new(&host, vec![Span { start: 0x1000_0000, end: 0x2000_0000 }], NONE, vec![ecam, small]);
        for (address, place) in [
            (0x1000_0000, Place::Ram),
            (0x1fff_f000, Place::Ram),
            (0x2000_0000, Place::Denied),
            (0x20_0000, Place::Denied),
            (0x7ff0_0000, Place::Firmware),
            (0xf_0000, Place::Device),
            (0xb123_4000, Place::Emulated),
            (0xfec0_0000, Place::Emulated),
            (0xfed0_0000, Place::Device),
            (0x1_0000_0000, Place::Denied),
            (0x40_0000_0000, Place::Device),
        ] {
            assert_eq!(map.place(Gfn(address >> 12)), place, "{address:#x}");
        }
    }

    #[test]
    fn large_pages_hold_devices_only() {
        let host = host();
        let ecam = Span { start: 0xb000_0000, end: 0xb010_0000 };
        let map = Dom0Map::new(&host, vec![Span { start: 0x1000_0000, end: 0x2000_0000 }], NONE, vec![ecam]);
        let large = |address: u64, order: u32| map.is_direct(Gfn(address >> 12), 1 << order);
        assert!(large(0xe000_0000, 9) && large(0xc000_0000, 18) && large(0x40_0000_0000, 18));
        assert!(large(0xb020_0000, 9) && !large(0xb000_0000, 9), "not the configuration space");
        assert!(!large(0x7ff0_0000, 9) && large(0x7ff0_0000, 0), "firmware's only by itself");
        assert!(!large(0x1000_0000, 9) && !large(0x1_4000_0000, 18), "nobody's RAM");
        assert!(!map.is_direct(Gfn(u64::MAX >> 12), 512));
    }

    #[test]
    fn too_many_pieces_are_said() {
        let host = host();
        let ram = (0..100).map(|i| Span { start: 0x1000_0000 + i * 0x2000, end: 0x1000_1000 + i * 0x2000 });
        let map = Dom0Map::new(&host, ram.collect(), NONE, vec![]);
        assert!(matches!(map.entries(), Err(TooManyEntries(200..))));
    }

    proptest! {
        /// The map tells of every page of RAM, and of no page that is another's.
        #[test]
        fn what_is_told_is_what_is_mapped(pieces in prop::collection::vec((1u64..0x1000, 1u64..0x1000), 0..20)) {
            let host = host();
            let mut at = 0x100;
            let mut ram = Vec::new();
            for (gap, pages) in pieces {
                ram.push(Span { start: (at + gap) << 12, end: (at + gap + pages) << 12 });
                at += gap + pages;
            }
            ram.reverse();
            let map = Dom0Map::new(&host, ram.clone(), NONE, vec![]);
            let entries = map.entries().unwrap();
            for pair in entries.windows(2) {
                prop_assert!(pair[0].addr + pair[0].size <= pair[1].addr);
            }
            let told: u64 = entries.iter().filter(|e| e.kind == RAM).map(|e| e.size).sum();
            prop_assert_eq!(told, ram.iter().map(|s| s.end - s.start).sum::<u64>());
            for e in entries {
                let (first, last) = (map.place(Gfn(e.addr >> 12)), map.place(Gfn((e.addr + e.size - 1) >> 12)));
                prop_assert_eq!(first == Place::Ram, e.kind == RAM);
                prop_assert_eq!(last == Place::Ram, e.kind == RAM);
            }
        }
    }
}

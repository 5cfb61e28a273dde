//! VT-d: "Intel Virtualization Technology for Directed I/O", revision 4.1. Section numbers are that document's.

use core::fmt;

use super::{Command, DOMAIN, DmaRun, Fault, Reason};
use crate::errors;
use crate::frame::{Maddr, Mfn};
use crate::p2m::{Dma, Format};
use crate::vpci::Bdf;

errors! {
    /// Why a unit cannot be used.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Unusable {
        /// The registers read as all ones: nobody is there.
        Absent => "there is no unit";
        /// No queued invalidation.
        NoQueue => "it has no queued invalidation";
        /// Tables of neither three nor four levels.
        Levels => "it takes tables of neither 39 nor 48 address bits";
        /// No 2 MiB pages.
        SmallPages => "it has no 2 MiB pages";
        /// The fault records are not among the registers.
        Records => "its fault records are outside its registers";
    }
}

/// Bits of the capability register: tables by depth, page sizes, and what makes work.
const THREE_LEVELS: u64 = 1 << 9;
const FOUR_LEVELS: u64 = 1 << 10;
const LARGE_PAGES: u64 = 1 << 34;
const GIANT_PAGES: u64 = 1 << 35;
const BUFFERS_WRITES: u64 = 1 << 4;
const CACHES_HOLES: u64 = 1 << 7;

/// What a unit can do: its capability registers (11.4.2, 11.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    cap: u64,
    ecap: u64,
}

impl Capabilities {
    /// From the two registers. All registers together have `len` bytes.
    ///
    /// # Errors
    /// It lacks something that is needed.
    pub fn new(cap: u64, ecap: u64, len: usize) -> Result<Self, Unusable> {
        if cap == u64::MAX {
            return Err(Unusable::Absent);
        }
        if ecap & 1 << 1 == 0 {
            return Err(Unusable::NoQueue);
        }
        let capabilities = Self { cap, ecap };
        let (first, count) = capabilities.fault_records();
        if first + 16 * count > len {
            return Err(Unusable::Records);
        }
        capabilities.format().map(|_| capabilities)
    }

    /// What two units can do, both of them.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        let burdens = (self.cap | other.cap) & (CACHES_HOLES | BUFFERS_WRITES);
        Self { cap: self.cap & other.cap | burdens, ecap: self.ecap & other.ecap }
    }

    /// The format of tables that it takes.
    ///
    /// # Errors
    /// There is none that we have.
    pub const fn format(self) -> Result<Dma, Unusable> {
        if self.cap & (THREE_LEVELS | FOUR_LEVELS) == 0 {
            return Err(Unusable::Levels);
        }
        if self.cap & LARGE_PAGES == 0 {
            return Err(Unusable::SmallPages);
        }
        Ok(Dma::Vtd {
            four_levels: self.cap & FOUR_LEVELS != 0,
            giant_pages: self.cap & GIANT_PAGES != 0,
            snoop_control: self.ecap & 1 << 7 != 0,
            // A unit that must have its write buffers flushed does that with every invalidation.
            caches_holes: self.cap & (CACHES_HOLES | BUFFERS_WRITES) != 0,
        })
    }

    /// Whether the unit sees what is in the CPUs' caches when it reads tables.
    pub const fn is_coherent(self) -> bool {
        self.ecap & 1 != 0
    }

    /// Whether it has protected memory regions, low or high, which would be in the way.
    pub const fn has_protected_memory(self) -> bool {
        self.cap & (1 << 5 | 1 << 6) != 0
    }

    /// Where its fault records are, and how many: offset in the registers, 16 bytes each.
    pub const fn fault_records(self) -> (usize, usize) {
        (((self.cap >> 24 & 0x3ff) * 16) as usize, (self.cap >> 40 & 0xff) as usize + 1)
    }

    /// The largest run that one page-selective invalidation covers, as its order; none has them without.
    const fn largest_run(self) -> Option<u32> {
        if self.cap & 1 << 39 == 0 { None } else { Some((self.cap >> 48 & 0x3f) as u32) }
    }

    /// The command that makes the unit forget a run, or more than that.
    pub fn forget(self, run: DmaRun) -> Command {
        let drain = DRAIN_READS | DRAIN_WRITES;
        let domain = u64::from(DOMAIN) << 16 | drain | IOTLB;
        match self.largest_run() {
            Some(largest) if run.order <= largest => {
                [domain | PAGES << GRANULARITY, run.gfn.addr().0 | u64::from(run.order)]
            }
            _ => [domain | WHOLE_DOMAIN << GRANULARITY, 0],
        }
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.cap & FOUR_LEVELS != 0 { 48 } else { 39 };
        let pages = if self.cap & GIANT_PAGES != 0 { "1 GiB" } else { "2 MiB" };
        write!(f, "{bits} address bits, pages up to {pages}, {} fault records", self.fault_records().1)
    }
}

/// What kinds of commands there are (6.5.2), how much they are about, and that they wait for accesses under way.
const CONTEXT: u64 = 1;
const IOTLB: u64 = 2;
const WAIT: u64 = 5;
const GRANULARITY: u32 = 4;
const GLOBAL: u64 = 1;
const WHOLE_DOMAIN: u64 = 2;
const PAGES: u64 = 3;
const DRAIN_WRITES: u64 = 1 << 6;
const DRAIN_READS: u64 = 1 << 7;
const STORE: u64 = 1 << 5;

/// The commands that make the unit forget everything: contexts, then translations.
pub const FORGET_ALL: [Command; 2] =
    [[CONTEXT | GLOBAL << GRANULARITY, 0], [IOTLB | GLOBAL << GRANULARITY | DRAIN_READS | DRAIN_WRITES, 0]];

/// The command that stores `token` at `at` (a multiple of 4) when all before it are done.
pub const fn wait(at: Maddr, token: u32) -> Command {
    [WAIT | STORE | (token as u64) << 32, at.0]
}

/// The two words of a root entry (9.1): where the contexts of a bus are.
pub const fn root_entry(contexts: Mfn) -> [u64; 2] {
    [contexts.addr().0 | 1, 0]
}

/// The two words of a context entry (9.3): the device is translated for by these tables, and may not ask for
/// translations to use later by itself.
pub fn context_entry(root: Mfn, format: Dma) -> [u64; 2] {
    // 1 for three levels, 2 for four.
    let width = u64::from(format.top().order() / 9) - 1;
    [root.addr().0 | 1, width | u64::from(DOMAIN) << 8]
}

/// What a fault record says (11.4.14); `None` if there is no fault in it. The segment is the unit's.
pub fn fault(record: [u64; 2], segment: u16) -> Option<Fault> {
    let [address, info] = record;
    if info >> 63 == 0 {
        return None;
    }
    let device = Bdf { segment, bus: (info >> 8) as u8, devfn: info as u8 };
    // Not allowed to write, to read; absent at each level (table 35, with legacy mode's numbers).
    let reason = match (info >> 32) as u8 {
        5 | 6 => Reason::Mapping,
        other => Reason::Other(other),
    };
    Some(Fault { device, address: address & !0xfff, write: info >> 62 & 1 == 0, reason })
}

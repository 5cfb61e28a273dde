//! Where everything goes in a guest's memory.
//!
//! The kernel goes where its ELF headers say, or, if that is not memory and the kernel allows it, elsewhere. The start
//! information follows it directly: the early page tables of 64-bit Linux map only the first GiB. The initrd lies as
//! high as the kernel can reach it, out of the way of what the kernel allocates early.

use core::fmt;
use core::ops::Range;

use hypercall_abi::start_info::{HvmMemmapTableEntry, MEMMAP_TYPE_RAM};
use hypercall_abi::xen::StartFlags;

use crate::image::Image;
use crate::start;

const PAGE: u64 = 4096;
/// What a PC's first MiB holds beside memory is no place for a kernel's data.
const LOW_MEMORY_END: u64 = 1 << 20;
/// What the kernel's first page tables map.
const START_REACH: u64 = 1 << 30;
/// Linux on x86 takes an initrd below this address only (`initrd_addr_max` of its setup header, plus 1).
const INITRD_REACH: u64 = 1 << 31;
/// The longest command line that Linux on x86 takes, without the zero at its end (`COMMAND_LINE_SIZE`).
const LINUX_COMMAND_LINE: usize = 2047;

/// What to lay out.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The guest's memory map in ascending order, as it will be told.
    pub memory_map: &'a [HvmMemmapTableEntry],
    /// Bytes of the initrd, 0 for none.
    pub initrd_len: u64,
    /// The kernel's command line, without a zero at its end.
    pub command_line: &'a [u8],
    /// Who the guest is.
    pub flags: StartFlags,
    /// Where ACPI's root pointer is, 0 for nowhere.
    pub rsdp: u64,
}

/// Where everything goes. All addresses are guest-physical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the kernel occupies.
    pub kernel: Range<u64>,
    /// What to add to the addresses of the image's segments (modulo 2^64).
    pub offset: u64,
    /// Where the first vCPU starts, in 32-bit protected mode with paging off.
    pub entry: u64,
    /// What the initrd occupies, page-aligned at its start.
    pub initrd: Option<Range<u64>>,
    /// What the start information occupies; its address goes to EBX.
    pub start_info: Range<u64>,
}

/// Why a kernel doesn't fit a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The kernel's addresses are not memory, and it can't be moved.
    Kernel {
        /// What it wants.
        wanted: Range<u64>,
        /// Where memory ends, below 4 GiB.
        memory_end: u64,
    },
    /// The kernel may be moved, but there is no place for it.
    Relocation {
        /// Its size in bytes.
        len: u64,
        /// Where it may go.
        within: Range<u64>,
    },
    /// No room for the initrd.
    Initrd {
        /// Its size in bytes.
        len: u64,
        /// Below which address it must end.
        reach: u64,
    },
    /// No room for the start information.
    StartInfo {
        /// Its size in bytes.
        len: u64,
    },
    /// The command line is longer than the kernel takes.
    CommandLine {
        /// Its length in bytes.
        len: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// The command line has a zero byte in it.
    CommandLineZero,
}

impl Layout {
    /// Finds a place for everything.
    ///
    /// # Errors
    /// Something doesn't fit into the guest's memory.
    pub fn new(image: &Image<'_>, request: &Request<'_>) -> Result<Self, LayoutError> {
        check_command_line(image, request.command_line)?;
        let ram = Ram(request.memory_map);
        let offset = kernel_offset(image, &ram)?;
        let linked = image.extent();
        let kernel = linked.start.wrapping_add(offset)..linked.end.wrapping_add(offset);

        let len = start::size(request);
        let start_info = ram
            .lowest(len, PAGE, kernel.end..START_REACH)
            .or_else(|| ram.lowest(len, PAGE, LOW_MEMORY_END..kernel.start))
            .ok_or(LayoutError::StartInfo { len })?;
        let initrd = match request.initrd_len {
            0 => None,
            len => {
                // Below the kernel only if there is no room above it.
                let above = ram.highest(len, start_info.end.max(kernel.end)..INITRD_REACH);
                let below = || ram.highest(len, LOW_MEMORY_END..start_info.start.min(kernel.start));
                Some(above.or_else(below).ok_or(LayoutError::Initrd { len, reach: INITRD_REACH })?)
            }
        };
        Ok(Self { kernel, offset, entry: image.entry().wrapping_add(offset), initrd, start_info })
    }
}

/// How far the kernel has to move from where it is linked to.
fn kernel_offset(image: &Image<'_>, ram: &Ram<'_>) -> Result<u64, LayoutError> {
    let wanted = image.extent();
    if ram.holds(&wanted) {
        return Ok(0);
    }
    let Some(allowed) = image.notes().relocation else {
        return Err(LayoutError::Kernel { wanted, memory_end: ram.end() });
    };
    let len = wanted.end - wanted.start;
    let within = u64::from(allowed.min)..u64::from(allowed.max) + 1;
    let align = u64::from(allowed.align).max(PAGE);
    let place = ram.lowest(len, align, within.start.max(LOW_MEMORY_END)..within.end);
    let place = place.ok_or(LayoutError::Relocation { len, within })?;
    Ok(place.start.wrapping_sub(wanted.start))
}

fn check_command_line(image: &Image<'_>, line: &[u8]) -> Result<(), LayoutError> {
    if line.contains(&0) {
        return Err(LayoutError::CommandLineZero);
    }
    if image.notes().guest_os == Some("linux") && line.len() > LINUX_COMMAND_LINE {
        return Err(LayoutError::CommandLine { len: line.len(), limit: LINUX_COMMAND_LINE });
    }
    Ok(())
}

/// The memory in a memory map.
struct Ram<'a>(&'a [HvmMemmapTableEntry]);

impl Ram<'_> {
    fn ranges(&self) -> impl DoubleEndedIterator<Item = Range<u64>> {
        self.0
            .iter()
            .filter(|entry| entry.kind == MEMMAP_TYPE_RAM)
            .map(|entry| entry.addr..entry.addr.saturating_add(entry.size))
    }

    fn holds(&self, wanted: &Range<u64>) -> bool {
        self.ranges().any(|ram| ram.start <= wanted.start && wanted.end <= ram.end)
    }

    /// The end of memory below 4 GiB, for messages.
    fn end(&self) -> u64 {
        self.ranges().map(|ram| ram.end).filter(|end| *end <= 1 << 32).max().unwrap_or(0)
    }

    /// The lowest free run of `len` bytes at a multiple of `align` in `within`.
    fn lowest(&self, len: u64, align: u64, within: Range<u64>) -> Option<Range<u64>> {
        self.ranges().find_map(|ram| {
            let start = ram.start.max(within.start).checked_next_multiple_of(align)?;
            let end = start.checked_add(len)?;
            (end <= ram.end.min(within.end)).then_some(start..end)
        })
    }

    /// The highest page-aligned run of `len` bytes in `within`.
    fn highest(&self, len: u64, within: Range<u64>) -> Option<Range<u64>> {
        self.ranges().rev().find_map(|ram| {
            let start = ram.end.min(within.end).checked_sub(len)? / PAGE * PAGE;
            (start >= ram.start.max(within.start)).then_some(start..start + len)
        })
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { wanted, memory_end } => write!(
                f,
                "the kernel has to be loaded at {:#x} to {:#x}, and the guest's memory ends at {memory_end:#x} or \
                 has a hole there",
                wanted.start, wanted.end
            ),
            Self::Relocation { len, within } => write!(
                f,
                "no room for the kernel's {len} bytes between {:#x} and {:#x}",
                within.start, within.end
            ),
            Self::Initrd { len, reach } => {
                write!(f, "no room for the initrd's {len} bytes beside the kernel and below {reach:#x}")
            }
            Self::StartInfo { len } => {
                write!(f, "no room for {len} bytes of start information beside the kernel and below 1 GiB")
            }
            Self::CommandLine { len, limit } => {
                write!(f, "the kernel's command line has {len} bytes, Linux takes {limit}")
            }
            Self::CommandLineZero => f.write_str("the kernel's command line has a zero byte in it"),
        }
    }
}

impl core::error::Error for LayoutError {}

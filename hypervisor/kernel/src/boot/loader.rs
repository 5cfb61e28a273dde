//! What a boot loader tells, whichever protocol it speaks.
//!
//! Everything returned here lies in the loader's own memory: it is good until that memory is given away, so whatever
//! is kept longer is copied.
#![allow(unsafe_code, reason = "reads memory that the boot loader filled")]

use tenon_core::boot_line;
use tenon_core::frame::Maddr;
use tenon_core::memory_map::Range;

use super::{multiboot1, multiboot2};
use crate::mm::direct;

/// Where the list of ACPI tables is.
#[derive(Clone, Copy, Debug)]
pub enum RootTable {
    /// 32-bit entries.
    Rsdt(Maddr),
    /// 64-bit entries.
    Xsdt(Maddr),
}

/// One colour's place in a pixel.
#[derive(Clone, Copy, Debug)]
pub struct PixelField {
    /// The lowest bit.
    pub position: u8,
    /// Bits.
    pub size: u8,
}

/// A linear framebuffer with direct colour.
#[derive(Clone, Copy, Debug)]
pub struct FramebufferInfo {
    /// The first pixel.
    pub address: Maddr,
    /// Bytes from one line to the next.
    pub pitch: u32,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bits in a pixel.
    pub bpp: u8,
    /// Red, green, blue.
    pub fields: [PixelField; 3],
}

/// A file that the loader loaded for us: a kernel, an initrd.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// The first byte. The module's pages are marked [`Kind::Module`](tenon_core::memory_map::Kind::Module) until they
    /// go to the frame table.
    pub start: Maddr,
    /// Bytes.
    pub len: u64,
    /// Its command line, without the file's name.
    pub command_line: &'static str,
}

/// The loader's information, by protocol.
pub enum Information {
    /// Multiboot 1.
    Multiboot1(multiboot1::Information),
    /// Multiboot 2.
    Multiboot2(multiboot2::Information),
}

impl Information {
    /// Takes what the loader left in EAX and EBX.
    ///
    /// # Safety
    /// The values are the loader's, and memory is as the loader left it.
    pub unsafe fn new(magic: u32, info: u32) -> Self {
        let at = Maddr(u64::from(info));
        // SAFETY: passed on from our caller; the first 4 GiB are mapped.
        match unsafe { multiboot2::Information::new(magic, at) } {
            Some(information) => Self::Multiboot2(information),
            // SAFETY: as above. Any other magic is taken for multiboot 1, which validates by its flags only.
            None => Self::Multiboot1(unsafe { multiboot1::Information::new(at) }),
        }
    }

    /// The loader's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Multiboot1(info) => info.loader_name(),
            Self::Multiboot2(info) => info.loader_name(),
        }
    }

    /// The hypervisor's command line.
    pub fn command_line(&self) -> &'static str {
        let line = match self {
            Self::Multiboot1(info) => info.command_line(),
            Self::Multiboot2(info) => info.command_line(),
        };
        boot_line::arguments(line, self.name())
    }

    /// Calls `f` for each loaded module, in order.
    pub fn modules(&self, f: &mut dyn FnMut(Module)) {
        let name = self.name();
        let mut each = |start: u64, end: u64, line: &'static str| {
            f(Module {
                start: Maddr(start),
                len: end.saturating_sub(start),
                command_line: boot_line::arguments(line, name),
            });
        };
        match self {
            Self::Multiboot1(info) => info.modules(&mut each),
            Self::Multiboot2(info) => info.modules(&mut each),
        }
    }

    /// Calls `f` for each range of the firmware's memory map, in the firmware's order.
    pub fn memory(&self, f: &mut dyn FnMut(Range)) {
        match self {
            Self::Multiboot1(info) => info.memory(f),
            Self::Multiboot2(info) => info.memory(f),
        }
    }

    /// The framebuffer, where the loader set one up.
    pub fn framebuffer(&self) -> Option<FramebufferInfo> {
        match self {
            Self::Multiboot1(_) => None,
            Self::Multiboot2(info) => info.framebuffer(),
        }
    }

    /// The ACPI root table, from the loader or from the BIOS area.
    pub fn root_table(&self) -> Option<RootTable> {
        match self {
            Self::Multiboot1(_) => None,
            Self::Multiboot2(info) => info.root_table(),
        }
        .or_else(search_bios_area)
    }

    /// The loader's own data: the information block with everything it points to, modules excepted.
    pub fn own_memory(&self, f: &mut dyn FnMut(Maddr, u64)) {
        match self {
            Self::Multiboot1(info) => info.own_memory(f),
            Self::Multiboot2(info) => info.own_memory(f),
        }
    }
}

/// Looks for the RSDP where a BIOS leaves it (ACPI 6.5, 5.2.5.1): the first KiB of the EBDA, then 0xe0000 to 1 MiB.
fn search_bios_area() -> Option<RootTable> {
    // SAFETY: the BIOS data area holds the EBDA's segment at 0x40e on every machine with a BIOS.
    let ebda = u64::from(u16::from_le_bytes(unsafe { direct::array(Maddr(0x40e)) })) << 4;
    let search = |start: u64, len: u64| {
        (start..start + len).step_by(16).find_map(|at| {
            // SAFETY: below 1 MiB, mapped; the firmware does not run any more.
            let rsdp: [u8; 36] = unsafe { direct::array(Maddr(at)) };
            parse_rsdp(&rsdp)
        })
    };
    let in_ebda = if (0x400..0xa_0000 - 0x400).contains(&ebda) { search(ebda, 0x400) } else { None };
    in_ebda.or_else(|| search(0xe_0000, 0x2_0000 - 36))
}

fn parse_rsdp(rsdp: &[u8; 36]) -> Option<RootTable> {
    let sums_to_zero = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0;
    if rsdp[..8] != *b"RSD PTR " || !sums_to_zero(&rsdp[..20]) {
        return None;
    }
    let xsdt =
        u64::from_le_bytes([rsdp[24], rsdp[25], rsdp[26], rsdp[27], rsdp[28], rsdp[29], rsdp[30], rsdp[31]]);
    if rsdp[15] >= 2 && xsdt != 0 && sums_to_zero(rsdp) {
        return Some(RootTable::Xsdt(Maddr(xsdt)));
    }
    let rsdt = u32::from_le_bytes([rsdp[16], rsdp[17], rsdp[18], rsdp[19]]);
    Some(RootTable::Rsdt(Maddr(u64::from(rsdt))))
}

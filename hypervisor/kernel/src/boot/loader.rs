//! What a boot loader tells, whichever protocol it speaks.
//!
//! Everything returned here lies in the loader's own memory: it is good until that memory is given away, so whatever
//! is kept longer is copied.
#![allow(unsafe_code, reason = "reads memory that the boot loader filled")]

use ::multiboot2::FramebufferField;
use tenon_core::boot_line;
use tenon_core::frame::Maddr;
use tenon_core::memory_map::Range;

use super::{multiboot1, multiboot2};
use crate::mm::direct;

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
    pub fields: [FramebufferField; 3],
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

/// The loader's information. It stays where it is for as long as it is read.
pub trait Information {
    /// The loader's name.
    fn name(&'static self) -> &'static str;

    /// The hypervisor's command line as the loader passes it.
    fn line(&'static self) -> &'static str;

    /// Calls `f` with start, end and command line of each loaded module, in order.
    fn files(&'static self, f: &mut dyn FnMut(u64, u64, &'static str));

    /// Calls `f` for each range of the firmware's memory map, in the firmware's order.
    fn memory(&'static self, f: &mut dyn FnMut(Range));

    /// The loader's own data: the information block with everything it points to, modules excepted.
    fn own_memory(&'static self, f: &mut dyn FnMut(Maddr, u64));

    /// The framebuffer, where the loader set one up.
    fn framebuffer(&'static self) -> Option<FramebufferInfo> {
        None
    }

    /// The ACPI root table (RSDT or XSDT), from the loader or from the BIOS area.
    fn root_table(&'static self) -> Option<Maddr> {
        search_bios_area()
    }

    /// The hypervisor's command line, without the file's name.
    fn command_line(&'static self) -> &'static str {
        boot_line::arguments(self.line(), self.name())
    }

    /// Calls `f` for each loaded module, in order.
    fn modules(&'static self, f: &mut dyn FnMut(Module)) {
        self.files(&mut |start, end, line| {
            let command_line = boot_line::arguments(line, self.name());
            f(Module { start: Maddr(start), len: end.saturating_sub(start), command_line });
        });
    }
}

/// Takes what the loader left in EAX and EBX.
///
/// # Safety
/// The values are the loader's, and memory is as the loader left it; the first 4 GiB are mapped.
pub unsafe fn information(magic: u32, info: u32) -> &'static dyn Information {
    let at = Maddr(u64::from(info));
    // SAFETY: the caller's promise.
    match unsafe { multiboot2::information(magic, at) } {
        Some(information) => information,
        // SAFETY: as above. Any other magic is taken for multiboot 1, which validates by its flags only.
        None => unsafe { multiboot1::information(at) },
    }
}

/// Looks for the RSDP where a BIOS leaves it (ACPI 6.5, 5.2.5.1): the first KiB of the EBDA, then 0xe0000 to 1 MiB.
pub fn search_bios_area() -> Option<Maddr> {
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

/// The address of the XSDT, or else of the RSDT (ACPI 6.5, 5.2.5.3).
fn parse_rsdp(rsdp: &[u8; 36]) -> Option<Maddr> {
    let sums_to_zero = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0;
    if rsdp[..8] != *b"RSD PTR " || !sums_to_zero(&rsdp[..20]) {
        return None;
    }
    let xsdt = u64::from_le_bytes(*rsdp[24..].first_chunk()?);
    if rsdp[15] >= 2 && xsdt != 0 && sums_to_zero(rsdp) {
        return Some(Maddr(xsdt));
    }
    Some(Maddr(u32::from_le_bytes(*rsdp[16..].first_chunk()?).into()))
}

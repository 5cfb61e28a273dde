//! The hypervisor's own image in memory (see link.ld).
#![allow(unsafe_code, reason = "names the linker's symbols")]

use core::ops::Range;

use tenon_core::frame::Maddr;

use crate::panic::symbols;

/// Distance between linked and physical addresses.
pub const IMAGE_OFFSET: u64 = 0xffff_ffff_8000_0000;

unsafe extern "C" {
    static __image_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __image_end: u8;
}

/// What a part of the image may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Constants and symbols.
    ReadOnly,
    /// Code.
    Execute,
    /// Variables.
    Write,
}

/// The image's parts by linked address, in order; they touch.
pub fn parts() -> [(Range<u64>, Access); 4] {
    let start = &raw const __image_start as u64;
    let text = &raw const __text_start as u64;
    let data = &raw const __text_end as u64;
    let symbols = &raw const __image_end as u64;
    let end = symbols::end().unwrap_or(symbols).next_multiple_of(4096);
    [
        (start..text, Access::ReadOnly),
        (text..data, Access::Execute),
        (data..symbols, Access::Write),
        (symbols..end, Access::ReadOnly),
    ]
}

/// The address that the image is linked at.
pub fn start() -> u64 {
    &raw const __image_start as u64
}

/// Whether an address is one of code.
pub fn is_code(address: u64) -> bool {
    parts().iter().any(|(range, access)| *access == Access::Execute && range.contains(&address))
}

/// The physical address of a linked one.
pub fn maddr(linked: u64) -> Maddr {
    Maddr(linked.wrapping_sub(IMAGE_OFFSET))
}

//! The direct map: all RAM, at a fixed distance from its physical address.
//!
//! Until `mm::paging` has run it covers the first 4 GiB, whatever they hold; afterwards RAM and ACPI memory.
#![allow(unsafe_code, reason = "turns physical addresses into pointers")]

use tenon_core::frame::Maddr;

/// Where physical address 0 is mapped.
pub const DIRECT_BASE: u64 = 0xffff_8000_0000_0000;
/// The direct map's size.
pub const DIRECT_SIZE: u64 = 1 << 46;

/// The pointer to a physical address through the direct map. Whether anything is mapped there is the caller's
/// concern, and so is who else uses it.
pub const fn pointer(at: Maddr) -> *mut u8 {
    (DIRECT_BASE + at.0 % DIRECT_SIZE) as *mut u8
}

/// The physical address behind a pointer into the direct map.
pub fn maddr_of(pointer: *const u8) -> Maddr {
    Maddr((pointer as u64).wrapping_sub(DIRECT_BASE) % DIRECT_SIZE)
}

/// Reads `N` bytes.
///
/// # Safety
/// The range is mapped, and nothing writes to it meanwhile.
pub unsafe fn array<const N: usize>(at: Maddr) -> [u8; N] {
    // SAFETY: the caller's promise; a byte array needs no alignment.
    unsafe { pointer(at).cast::<[u8; N]>().read() }
}

/// A view of memory that stays as it is.
///
/// # Safety
/// The range is mapped and nothing writes to it for as long as the slice is used.
pub unsafe fn slice(at: Maddr, len: usize) -> &'static [u8] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(pointer(at), len) }
}

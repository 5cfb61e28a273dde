//! The area of virtual addresses for what is not simply RAM: stacks between guard pages, device registers.
//!
//! Addresses are handed out once and never taken back: the area is 64 TiB.
#![allow(unsafe_code, reason = "maps stacks and device registers")]

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use tenon_core::frame::{Maddr, PAGE_SIZE};
use tenon_core::frames::Zone;
use tenon_core::sync::{Class, Lock};
use x86_64::structures::paging::PageTableFlags as Flags;

use super::mmio::Mmio;
use super::paging::{self, MapError};
use super::phys;

const BASE: u64 = 0xffff_c000_0000_0000;
const PAGE: u64 = PAGE_SIZE as u64;
const LARGE: u64 = 2 << 20;

static NEXT: AtomicU64 = AtomicU64::new(BASE);
static DEVICES: Lock<Vec<Device>> = Lock::new(Class::Devices, Vec::new());

/// How a device's memory is cached. The values select entries of the PAT as [`crate::cpu`] sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Registers: every access as written.
    Uncached,
    /// A framebuffer: writes may be combined.
    WriteCombining,
    /// Firmware tables outside RAM.
    WriteBack,
}

struct Device {
    start: Maddr,
    len: u64,
    caching: Caching,
    at: u64,
}

/// Takes `len` bytes of addresses, with an unmapped page after them (and so before the next ones). Long ranges start
/// where large pages can.
fn reserve(len: u64) -> u64 {
    let align = if len >= LARGE { LARGE } else { PAGE };
    let at = NEXT.fetch_add(len.next_multiple_of(PAGE) + align, Ordering::Relaxed);
    at.next_multiple_of(align)
}

/// Makes a stack of `bytes`, with an unmapped page at either end.
///
/// # Errors
/// See [`MapError`].
pub fn stack(bytes: usize) -> Result<Range<u64>, MapError> {
    // The first stack would have no guard below it otherwise.
    let base = reserve(bytes as u64 + PAGE) + PAGE;
    for offset in (0..bytes as u64).step_by(PAGE_SIZE) {
        let mfn = phys::alloc(0, Zone::Any).ok_or(MapError::OutOfFrames)?;
        // SAFETY: fresh addresses, a fresh frame.
        unsafe { paging::map(base + offset, mfn.addr(), PAGE, Flags::WRITABLE | paging::no_execute())? };
    }
    Ok(base..base + bytes as u64)
}

/// Maps device memory. The same range with the same caching gives the same mapping again.
///
/// # Errors
/// See [`MapError`].
///
/// # Safety
/// The range is a device's, not RAM, and accesses to it through the result do nothing to memory that is in use.
pub unsafe fn map_device(start: Maddr, len: usize, caching: Caching) -> Result<Mmio, MapError> {
    let first = start.0 / PAGE * PAGE;
    let end = start.0.checked_add(len as u64).ok_or(MapError::Invalid)?.next_multiple_of(PAGE);
    let mut devices = DEVICES.lock();
    let known = devices.iter().find(|d| d.start.0 == first && d.len == end - first && d.caching == caching);
    let at = match known {
        Some(device) => device.at,
        None => {
            devices.try_reserve(1).map_err(|_| MapError::OutOfFrames)?;
            let at = reserve(end - first);
            let flags = match caching {
                Caching::Uncached => Flags::NO_CACHE | Flags::WRITE_THROUGH | Flags::WRITABLE,
                Caching::WriteCombining => Flags::WRITE_THROUGH | Flags::WRITABLE,
                Caching::WriteBack => Flags::empty(),
            };
            // SAFETY: fresh addresses; the caller's promise about the range.
            unsafe { paging::map(at, Maddr(first), end - first, flags | paging::no_execute())? };
            devices.push(Device { start: Maddr(first), len: end - first, caching, at });
            at
        }
    };
    // SAFETY: mapped just now or before, for good.
    Ok(unsafe { Mmio::new((at + start.0 - first) as *mut u8, len) })
}

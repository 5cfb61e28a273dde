//! The MSR permission map (AMD64 manual volume 2, 15.11): one for all vCPUs, never changed after boot.

use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;

use crate::guest::permissions::open_msrs;
use crate::mm::pages::{self, Pages};

const MSRPM_BYTES: usize = 2 * 4096;

static MSRS: Once<Maddr> = Once::new();

/// Builds the map, once, at boot.
pub fn init() -> Result<(), NoMemory> {
    let mut msrs = pages::zeroed::<Pages<MSRPM_BYTES>>()?;
    msrs.0.fill(0xff);
    for (msr, writable) in open_msrs() {
        let (byte, shift) = msr_bits(msr);
        let unneeded = if writable { 0b11 } else { 0b01 };
        msrs.0[byte] &= !(unneeded << shift);
    }
    MSRS.call_once(|| pages::give(msrs));
    Ok(())
}

/// Where an MSR has its two bits: for reads, and above it for writes. There are 2 KiB for each range of 8 Ki MSRs, which
/// start at 0, 0xc000_0000 and 0xc001_0000.
fn msr_bits(msr: u32) -> (usize, u32) {
    let range = match msr >> 16 {
        0 => 0,
        0xc000 => 0x800,
        _ => 0x1000,
    };
    (range + (msr % 0x2000 / 4) as usize, msr % 4 * 2)
}

/// The map, once [`init`] has built it.
pub fn msrs() -> Option<Maddr> {
    MSRS.get().copied()
}

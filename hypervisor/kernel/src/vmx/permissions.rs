//! The MSR bitmap (SDM volume 3, 25.6.9): one for all vCPUs, never changed after boot.

use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;

use crate::guest::permissions::open_msrs;
use crate::mm::pages::{self, Pages};

/// Behind the bits for reads are those for writes.
const WRITES: usize = 0x800;

static MSRS: Once<Maddr> = Once::new();

/// Builds the map, once, at boot.
pub fn init() -> Result<(), NoMemory> {
    let mut msrs = pages::zeroed::<Pages<4096>>()?;
    msrs.0.fill(0xff);
    for (msr, writable) in open_msrs() {
        let (byte, bit) = msr_bit(msr);
        msrs.0[byte] &= !bit;
        if writable {
            msrs.0[WRITES + byte] &= !bit;
        }
    }
    MSRS.call_once(|| pages::give(msrs));
    Ok(())
}

/// Where an MSR has its bit for reads. There is 1 KiB for each range of 8 Ki MSRs, which start at 0 and 0xc000_0000.
fn msr_bit(msr: u32) -> (usize, u8) {
    let range = if msr >> 16 == 0 { 0 } else { 0x400 };
    (range + (msr % 0x2000 / 8) as usize, 1 << (msr % 8))
}

/// The map, once [`init`] has built it.
pub fn msrs() -> Option<Maddr> {
    MSRS.get().copied()
}

//! The I/O and MSR permission maps (AMD64 manual volume 2, 15.10 and 15.11).
//!
//! Shared by all vCPUs and never changed after boot: one MSR map, and two I/O maps, of which one allows nothing
//! and the other is for domain 0, which owns the machine's devices.

use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;

use crate::mm::pages::{self, Pages};

const IOPM_BYTES: usize = 3 * 4096;
const MSRPM_BYTES: usize = 2 * 4096;

/// Read without an exit, but not written.
const TSC: u32 = 0x10;

/// The maps' addresses. The maps themselves are leaked.
pub struct Maps {
    /// The I/O map that allows no port.
    pub no_ports: Maddr,
    /// Domain 0's I/O map.
    pub hardware_ports: Maddr,
    /// The MSR map.
    pub msrs: Maddr,
}

static MAPS: Once<Maps> = Once::new();

/// MSRs that VMLOAD and VMSAVE switch, or that have a copy of the guest's in the VMCB: no exit needed.
const SWITCHED_MSRS: [u32; 12] = [
    0x174,       // SYSENTER_CS
    0x175,       // SYSENTER_ESP
    0x176,       // SYSENTER_EIP
    0x277,       // PAT
    0xc000_0081, // STAR
    0xc000_0082, // LSTAR
    0xc000_0083, // CSTAR
    0xc000_0084, // SFMASK
    0xc000_0100, // FS_BASE
    0xc000_0101, // GS_BASE
    0xc000_0102, // KERNEL_GS_BASE
    TSC,
];

/// Ports that the platform virtualizes or keeps even from domain 0.
const VIRTUAL_PORTS: [core::ops::RangeInclusive<u16>; 6] = [
    0x20..=0x21,   // first interrupt controller
    0x40..=0x43,   // interval timer
    0xa0..=0xa1,   // second interrupt controller
    0xe9..=0xe9,   // debug port: the hypervisor's log
    0x4d0..=0x4d1, // edge/level control of the interrupt controllers
    0xcf8..=0xcff, // PCI configuration
];

/// Builds the maps, once, at boot. `console_ports` are the serial ports that Tenon uses itself.
pub fn init(console_ports: &[u16]) -> Result<(), NoMemory> {
    let mut no_ports = pages::zeroed::<Pages<IOPM_BYTES>>()?;
    no_ports.0.fill(0xff);

    let mut hardware_ports = pages::zeroed::<Pages<IOPM_BYTES>>()?;
    let mut deny = |port: u16| hardware_ports.0[usize::from(port / 8)] |= 1 << (port % 8);
    VIRTUAL_PORTS.into_iter().flatten().for_each(&mut deny);
    console_ports.iter().flat_map(|&base| base..base.saturating_add(8)).for_each(&mut deny);

    let mut msrs = pages::zeroed::<Pages<MSRPM_BYTES>>()?;
    msrs.0.fill(0xff);
    for msr in SWITCHED_MSRS {
        let (byte, shift) = msr_bits(msr);
        let unneeded = if msr == TSC { 0b01 } else { 0b11 };
        msrs.0[byte] &= !(unneeded << shift);
    }
    MAPS.call_once(|| Maps {
        no_ports: pages::give(no_ports),
        hardware_ports: pages::give(hardware_ports),
        msrs: pages::give(msrs),
    });
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

/// The maps, once [`init`] has built them.
pub fn maps() -> Option<&'static Maps> {
    MAPS.get()
}

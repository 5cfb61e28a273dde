//! Which ports and MSRs a guest uses without an exit, whatever the CPU. Never changed after boot.
//!
//! The I/O maps have a bit for each port, in the same order for AMD-V and VT-x: one map allows nothing, the other is
//! for domain 0, which owns the machine's devices. The MSR maps are laid out by the backends.

use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;

use crate::mm::pages::{self, Pages};

/// 64 Ki bits; AMD-V looks at the bits behind the last port, too.
const IO_MAP_BYTES: usize = 3 * 4096;

/// Read without an exit, but not written.
const TSC: u32 = 0x10;

/// The addresses of the I/O maps. The maps themselves are leaked.
pub struct IoMaps {
    /// Allows no port.
    pub no_ports: Maddr,
    /// Domain 0's.
    pub hardware_ports: Maddr,
}

static IO_MAPS: Once<IoMaps> = Once::new();

/// MSRs that the CPU or the vCPU switch exchanges: no exit needed.
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

/// Builds the I/O maps, once, at boot. `console_ports` are the serial ports that Tenon uses itself.
pub fn init(console_ports: &[u16]) -> Result<(), NoMemory> {
    let mut no_ports = pages::zeroed::<Pages<IO_MAP_BYTES>>()?;
    no_ports.0.fill(0xff);

    let mut hardware_ports = pages::zeroed::<Pages<IO_MAP_BYTES>>()?;
    let mut deny = |port: u16| hardware_ports.0[usize::from(port / 8)] |= 1 << (port % 8);
    VIRTUAL_PORTS.into_iter().flatten().for_each(&mut deny);
    console_ports.iter().flat_map(|&base| base..base.saturating_add(8)).for_each(&mut deny);
    IO_MAPS.call_once(|| IoMaps {
        no_ports: pages::give(no_ports),
        hardware_ports: pages::give(hardware_ports),
    });
    Ok(())
}

/// The maps, once [`init`] has built them.
pub fn io_maps() -> Option<&'static IoMaps> {
    IO_MAPS.get()
}

/// The MSRs that need no exit, and whether writing them needs none either.
pub fn open_msrs() -> impl Iterator<Item = (u32, bool)> {
    SWITCHED_MSRS.into_iter().map(|msr| (msr, msr != TSC))
}

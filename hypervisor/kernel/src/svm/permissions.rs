//! The I/O and MSR permission maps (AMD64 manual volume 2, 15.10 and 15.11).
//!
//! Shared by all vCPUs and never changed after boot: one MSR map, and two I/O maps, of which one allows nothing
//! and the other is for domain 0, which owns the machine's devices.

use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;

use crate::mm::page_box::{PageBox, Pages};

const IOPM_BYTES: usize = 3 * 4096;
const MSRPM_BYTES: usize = 2 * 4096;

type IoMap = Pages<IOPM_BYTES>;
type MsrMap = Pages<MSRPM_BYTES>;

struct Maps {
    no_ports: PageBox<IoMap>,
    hardware_ports: PageBox<IoMap>,
    msrs: PageBox<MsrMap>,
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
    0x10,        // TSC: reads only, see `init`
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

/// Builds the maps, once, at boot. `console_port` is the serial port that Tenon uses itself.
pub fn init(console_ports: &[u16]) -> Result<(), NoMemory> {
    let mut no_ports = PageBox::<IoMap>::zeroed()?;
    no_ports.0.fill(0xff);

    let mut hardware_ports = PageBox::<IoMap>::zeroed()?;
    let mut deny = |port: u16| hardware_ports.0[usize::from(port / 8)] |= 1 << (port % 8);
    VIRTUAL_PORTS.into_iter().flatten().for_each(&mut deny);
    console_ports.iter().flat_map(|&base| base..base.saturating_add(8)).for_each(&mut deny);

    let mut msrs = PageBox::<MsrMap>::zeroed()?;
    msrs.0.fill(0xff);
    for msr in SWITCHED_MSRS {
        let (read, write) = (true, msr != 0x10);
        allow(&mut msrs, msr, read, write);
    }
    MAPS.call_once(|| Maps { no_ports, hardware_ports, msrs });
    Ok(())
}

/// Takes away the intercepts of an MSR. Three ranges of 8 Ki MSRs, two bits each: read, write.
fn allow(map: &mut MsrMap, msr: u32, read: bool, write: bool) {
    let (base, first) = match msr {
        0..0x2000 => (0, 0),
        0xc000_0000..0xc000_2000 => (0x800, 0xc000_0000),
        0xc001_0000..0xc001_2000 => (0x1000, 0xc001_0000),
        _ => return,
    };
    let bit = (msr - first) as usize * 2;
    let byte = &mut map.0[base + bit / 8];
    if read {
        *byte &= !(1 << (bit % 8));
    }
    if write {
        *byte &= !(2 << (bit % 8));
    }
}

/// The MSR map. `None` before [`init`].
pub fn msr_map() -> Option<Maddr> {
    Some(MAPS.get()?.msrs.maddr())
}

/// The I/O map that allows no port.
pub fn no_ports() -> Option<Maddr> {
    Some(MAPS.get()?.no_ports.maddr())
}

/// Domain 0's I/O map.
pub fn hardware_ports() -> Option<Maddr> {
    Some(MAPS.get()?.hardware_ports.maddr())
}

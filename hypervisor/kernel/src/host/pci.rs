//! The machine's PCI configuration space, and the memory of devices.
//!
//! Locks: the pair of ports has one, a leaf. Memory-mapped configuration space needs none.
#![allow(unsafe_code, reason = "accesses configuration space and devices on behalf of domain 0")]

use alloc::vec::Vec;

use spin::Once;
use tenon_core::frame::Maddr;
use tenon_core::sync::{Class, Lock};
use tenon_core::vpci::{Ecam, Register, Size};

use crate::acpi::acpi;
use crate::cpu::port::Port;
use crate::mm::mmio::Mmio;
use crate::mm::vmap::{self, Caching};

const ADDRESS: Port = Port(0xcf8);
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;
/// What the ports reach of a function's configuration space.
const PORTS_REACH: u16 = 0x100;

static PORTS: Lock<()> = Lock::new(Class::Ports, ());
static WINDOWS: Once<Vec<(Ecam, Mmio)>> = Once::new();

/// The windows to configuration space that ACPI names.
pub fn windows() -> impl Iterator<Item = Ecam> {
    acpi().pci.iter().copied()
}

/// Maps the windows.
pub fn init() {
    WINDOWS.call_once(|| {
        windows()
            .filter_map(|window| {
                let (start, len) = window.range();
                // SAFETY: configuration space, by the ACPI tables.
                let mapped = unsafe { vmap::map_device(Maddr(start), len as usize, Caching::Uncached) };
                let mapped = mapped.inspect_err(|error| {
                    log::error!("configuration space at {start:#x} cannot be mapped: {error}");
                });
                Some((window, mapped.ok()?))
            })
            .collect()
    });
}

/// Where a register is in mapped configuration space.
fn place(at: Register) -> Option<(Mmio, usize)> {
    let bdf = at.bdf;
    let (window, memory) = WINDOWS.get()?.iter().find(|(window, _)| {
        window.segment == bdf.segment && (window.first_bus..=window.last_bus).contains(&bdf.bus)
    })?;
    let bus = usize::from(bdf.bus - window.first_bus);
    Some((*memory, bus << 20 | usize::from(bdf.devfn) << 12 | usize::from(at.offset & 0xfff)))
}

/// The data port of a register, and what the address port has to hold for it.
fn data_port(at: Register) -> Option<(Port, u32)> {
    if at.bdf.segment != 0 || at.offset >= PORTS_REACH {
        return None;
    }
    let address =
        ENABLE | u32::from(at.bdf.bus) << 16 | u32::from(at.bdf.devfn) << 8 | u32::from(at.offset & !3);
    Some((Port(DATA + (at.offset & 3)), address))
}

/// Reads configuration space; all ones where there is no way to it.
pub fn read_config(at: Register, size: Size) -> u32 {
    if let Some((memory, offset)) = place(at) {
        return memory.read(offset, size.bytes().into()) as u32;
    }
    let Some((port, address)) = data_port(at) else { return size.ones() };
    let _guard = PORTS.lock();
    // SAFETY: configuration space is domain 0's, on whose behalf this is; Tenon's own devices are not on PCI.
    unsafe {
        ADDRESS.write(Size::Dword, address);
        port.read(size)
    }
}

/// Writes configuration space; nothing happens where there is no way to it.
pub fn write_config(at: Register, size: Size, value: u32) {
    if let Some((memory, offset)) = place(at) {
        return memory.write(offset, size.bytes().into(), value.into());
    }
    let Some((port, address)) = data_port(at) else { return };
    let _guard = PORTS.lock();
    // SAFETY: as in `read_config`.
    unsafe {
        ADDRESS.write(Size::Dword, address);
        port.write(size, value);
    }
}

/// A register of a device, its page mapped when it is first wanted: MSI-X tables are few, and stay where they are.
pub fn device(at: Maddr, bytes: u64) -> Option<Mmio> {
    if !at.0.is_multiple_of(bytes) {
        return None;
    }
    // SAFETY: the core has checked that the page is no memory but a device's, which is domain 0's. Being aligned, the
    // access stays in it.
    let mapped = unsafe { vmap::map_device(at, bytes as usize, Caching::Uncached) };
    mapped.inspect_err(|error| log::error!("device memory at {at}: {error}")).ok()
}

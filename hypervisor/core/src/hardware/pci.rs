//! PCI configuration space of the hardware domain, by ports and by memory, and its MSI-X tables.
//!
//! What the domain writes goes to [`VirtualPci`]; what follows from that is done here.
//!
//! Locks: [`Pci`] is behind one lock. Under it the domain's p2m is changed, CPUs are waited for to leave the guest,
//! and the devices' registers are written.

use alloc::vec::Vec;

use super::msi::Binding;
use super::{Hardware, HardwareDomain};
use crate::frame::{Gaddr, Gfn, Maddr};
use crate::hv_log;
use crate::machine::{Machine, MachineEnd};
use crate::p2m::{P2mError, PageType};
use crate::vpci::{Effect, Effects, Frames, Register, Size, VirtualPci};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const DATA_END: u16 = 0xcff;
/// The chipset's reset control register, and the bit in it that resets.
const RESET: u16 = 0xcf9;
const RESET_NOW: u32 = 1 << 2;

/// What the domain has made of the machine's PCI functions.
#[derive(Default)]
pub(super) struct Pci {
    /// The address register at port 0xcf8.
    address: u32,
    pub(super) functions: VirtualPci,
    pub(super) bindings: Vec<Binding>,
}

impl HardwareDomain {
    /// What an address in a memory-mapped configuration space reaches. The inner `None`: nothing is there, or the
    /// access is not one that registers take.
    pub(super) fn config_at(&self, at: Gaddr, bytes: u64) -> Option<Option<(Register, Size)>> {
        let inside = |(start, length): (u64, u64)| at.0.checked_sub(start).is_some_and(|n| n < length);
        let window = self.config.iter().find(|window| inside(window.range()))?;
        Some(Size::from_bytes(bytes).and_then(|size| Some((window.register(at.0, size)?, size))))
    }
}

impl<M: Machine> Hardware<'_, M> {
    /// Reads a virtualized port: those of configuration space, and what is between them. `None` of another.
    pub fn read_port(self, port: u16, size: Size) -> Option<u32> {
        match (port, size) {
            (ADDRESS, Size::Dword) => Some(self.devices.pci.lock().address),
            (DATA..=DATA_END, _) => {
                let at = self.port_register(port, size);
                Some(at.map_or(size.ones(), |at| self.read_config(at, size)))
            }
            (ADDRESS..DATA, _) => Some(self.hv.machine.read_port(port, size)),
            _ => None,
        }
    }

    /// Writes a virtualized port.
    pub fn write_port(self, port: u16, size: Size, value: u32) {
        match (port, size) {
            (ADDRESS, Size::Dword) => self.devices.pci.lock().address = value,
            (DATA..=DATA_END, _) => {
                if let Some(at) = self.port_register(port, size) {
                    self.write_config(at, size, value);
                }
            }
            (RESET, Size::Byte) if value & RESET_NOW != 0 => {
                hv_log!(self.hv, Info, "domain 0 resets the machine");
                self.hv.machine.end(MachineEnd::Reboot);
            }
            (ADDRESS..DATA, _) => self.hv.machine.write_port(port, size, value),
            _ => {}
        }
    }

    fn port_register(self, port: u16, size: Size) -> Option<Register> {
        Register::by_ports(self.devices.pci.lock().address, port - DATA, size)
    }

    pub(super) fn read_config(self, at: Register, size: Size) -> u32 {
        let hw = &mut { self.hv.machine };
        self.with_functions(|functions, effects| functions.read(at, size, hw, effects))
    }

    pub(super) fn write_config(self, at: Register, size: Size, value: u32) {
        let hw = &mut { self.hv.machine };
        self.with_functions(|functions, effects| functions.write(at, size, value, hw, effects));
    }

    /// Whether an MSI-X table is in that page.
    pub(super) fn holds_table(self, frame: Gfn) -> bool {
        self.devices.pci.lock().functions.traps(Frames { first: frame, count: 1 })
    }

    /// Reads from a page that holds an MSI-X table: the domain's copy of that, or what the device has besides.
    pub(super) fn read_table_page(self, at: Maddr, bytes: u64) -> u64 {
        if let Some(value) = self.devices.pci.lock().functions.read_table(at, bytes) {
            return value;
        }
        if self.devices.is_device(at) { self.hv.machine.read_device(at, bytes) } else { u64::MAX }
    }

    /// Writes to such a page.
    pub(super) fn write_table_page(self, at: Maddr, bytes: u64, value: u64) {
        let is_entry =
            self.with_functions(|functions, effects| functions.write_table(at, bytes, value, effects));
        if !is_entry && self.devices.is_device(at) {
            self.hv.machine.write_device(at, bytes, value);
        }
    }

    /// Has the functions make something of an access, and carries out what follows from it.
    fn with_functions<R>(self, access: impl FnOnce(&mut VirtualPci, Effects<'_>) -> R) -> R {
        let mut pci = self.devices.pci.lock();
        let Pci { functions, bindings, .. } = &mut *pci;
        access(functions, &mut |effect| match effect {
            Effect::Bind { interrupt, address, data } => self.bind(bindings, interrupt, address, data),
            Effect::Mask(interrupt) => self.set_masked(bindings, &interrupt, true),
            Effect::Unmask(interrupt) => self.set_masked(bindings, &interrupt, false),
            Effect::Unbind(bdf) => self.unbind(bindings, |binding| binding.interrupt.bdf == bdf),
            Effect::Trap(frames) => self.take_away(frames),
            // Mapped when they are touched.
            Effect::Untrap(_) => {}
        })
    }

    /// Withdraws pages that the domain may have been using as ordinary device memory.
    fn take_away(self, frames: Frames) {
        for gfn in (0..frames.count).map(|i| Gfn(frames.first.0 + i)) {
            let flush = || self.hv.flush_guest_tlbs(self.domain);
            match self.domain.memory.unmap(gfn, |entry| entry.kind == PageType::MmioDirect, flush) {
                Ok(_) | Err(P2mError::NotMapped { .. }) => {}
                Err(error) => hv_log!(self.hv, Error, "the MSI-X table at frame {gfn} stays mapped: {error}"),
            }
        }
    }
}

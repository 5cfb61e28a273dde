//! PCI configuration space of the hardware domain, by ports and by memory, and its MSI-X tables.
//!
//! What the domain writes goes to [`VirtualPci`]; what follows from that is done here.
//!
//! Locks: [`Pci`] is behind one lock. Under it the domain's p2m is changed, CPUs are waited for to leave the guest,
//! and the devices' registers are written.

use alloc::vec::Vec;

use super::msi::Binding;
use super::{HardwareDomain, HostDevices, Owner};
use crate::frame::{Gaddr, Gfn, Maddr};
use crate::hv_log;
use crate::machine::{Machine, MachineEnd};
use crate::p2m::{P2mError, PageType};
use crate::vpci::{AddressPort, Bdf, ConfigSpace, Effect, Frames, Register, Size, VirtualPci};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const DATA_END: u16 = 0xcff;
/// The chipset's reset control register, and the bit in it that resets.
const RESET: u16 = 0xcf9;
const RESET_NOW: u32 = 1 << 2;

/// What the domain has made of the machine's PCI functions.
#[derive(Default)]
pub(super) struct Pci {
    address: AddressPort,
    pub(super) functions: VirtualPci,
    pub(super) bindings: Vec<Binding>,
}

/// The machine's configuration space.
pub(super) struct Hardware<M>(pub M);

impl<M: HostDevices> ConfigSpace for Hardware<M> {
    fn read(&self, bdf: Bdf, offset: u16, size: Size) -> u32 {
        self.0.read_config(Register { bdf, offset }, size)
    }
    fn write(&mut self, bdf: Bdf, offset: u16, size: Size, value: u32) {
        self.0.write_config(Register { bdf, offset }, size, value);
    }
}

impl<M: Machine> HardwareDomain<M> {
    /// Reads a port of configuration space.
    pub(super) fn read_pci_port(&self, owner: Owner<'_, M>, port: u16, size: Size) -> u32 {
        match (port, size) {
            (ADDRESS, Size::Dword) => self.pci.lock().address.get(),
            (DATA..=DATA_END, _) => {
                let register = self.pci.lock().address.register(port - DATA, size);
                register.map_or(size.ones(), |at| self.read_config(owner, at, size))
            }
            _ => self.machine.read_port(port, size),
        }
    }

    /// Writes a port of configuration space.
    pub(super) fn write_pci_port(&self, owner: Owner<'_, M>, port: u16, size: Size, value: u32) {
        match (port, size) {
            (ADDRESS, Size::Dword) => self.pci.lock().address.set(value),
            (DATA..=DATA_END, _) => {
                let register = self.pci.lock().address.register(port - DATA, size);
                if let Some(at) = register {
                    self.write_config(owner, at, size, value);
                }
            }
            (RESET, Size::Byte) if value & RESET_NOW != 0 => {
                hv_log!(owner.hv, Info, "domain 0 resets the machine");
                self.machine.end(MachineEnd::Reboot);
            }
            _ => self.machine.write_port(port, size, value),
        }
    }

    /// What an address in a memory-mapped configuration space reaches. The inner `None`: nothing is there, or the
    /// access is not one that registers take.
    pub(super) fn config_at(&self, at: Gaddr, bytes: u64) -> Option<Option<(Register, Size)>> {
        let inside = |(start, length): (u64, u64)| at.0.checked_sub(start).is_some_and(|n| n < length);
        let window = self.config.iter().find(|window| inside(window.range()))?;
        Some(Size::from_bytes(bytes).and_then(|size| Some((window.register(at.0, size)?, size))))
    }

    pub(super) fn read_config(&self, owner: Owner<'_, M>, at: Register, size: Size) -> u32 {
        let mut pci = self.pci.lock();
        let Pci { functions, bindings, .. } = &mut *pci;
        let hw = &mut Hardware(self.machine);
        functions.read(at, size, hw, &mut |effect| self.carry_out(owner, bindings, effect))
    }

    pub(super) fn write_config(&self, owner: Owner<'_, M>, at: Register, size: Size, value: u32) {
        let mut pci = self.pci.lock();
        let Pci { functions, bindings, .. } = &mut *pci;
        let hw = &mut Hardware(self.machine);
        functions.write(at, size, value, hw, &mut |effect| self.carry_out(owner, bindings, effect));
    }

    /// Whether an MSI-X table is in that page.
    pub(super) fn holds_table(&self, frame: Gfn) -> bool {
        self.pci.lock().functions.traps(Frames { first: frame, count: 1 })
    }

    /// Reads from a page that holds an MSI-X table: the domain's copy of that, or what the device has besides.
    pub(super) fn read_table_page(&self, at: Maddr, bytes: u64) -> u64 {
        if let Some(value) = self.pci.lock().functions.read_table(at, bytes) {
            return value;
        }
        if self.is_device(at) { self.machine.read_device(at, bytes) } else { u64::MAX }
    }

    /// Writes to such a page.
    pub(super) fn write_table_page(&self, owner: Owner<'_, M>, at: Maddr, bytes: u64, value: u64) {
        let mut pci = self.pci.lock();
        let Pci { functions, bindings, .. } = &mut *pci;
        let mut carry_out = |effect| self.carry_out(owner, bindings, effect);
        if !functions.write_table(at, bytes, value, &mut carry_out) && self.is_device(at) {
            drop(pci);
            self.machine.write_device(at, bytes, value);
        }
    }

    fn carry_out(&self, owner: Owner<'_, M>, bindings: &mut Vec<Binding>, effect: Effect) {
        match effect {
            Effect::Bind { bdf, entry, address, data, location } => {
                self.bind(owner, bindings, (bdf, entry, location), (address, data));
            }
            Effect::Mask { bdf, entry, location } => {
                self.set_masked(bindings, (bdf, entry, location), true);
            }
            Effect::Unmask { bdf, entry, location } => {
                self.set_masked(bindings, (bdf, entry, location), false);
            }
            Effect::Unbind { bdf } => self.unbind(bindings, bdf),
            Effect::Trap(frames) => take_away(owner, frames),
            // Mapped when they are touched.
            Effect::Untrap(_) => {}
        }
    }
}

/// Withdraws pages that the domain may have been using as ordinary device memory.
fn take_away<M: Machine>(Owner { hv, domain }: Owner<'_, M>, frames: Frames) {
    for gfn in (0..frames.count).map(|i| Gfn(frames.first.0 + i)) {
        let flush = || hv.flush_guest_tlbs(domain);
        match domain.memory.unmap(gfn, |entry| entry.kind == PageType::MmioDirect, flush) {
            Ok(_) | Err(P2mError::NotMapped { .. }) => {}
            Err(error) => hv_log!(hv, Error, "the MSI-X table at frame {gfn} stays mapped: {error}"),
        }
    }
}

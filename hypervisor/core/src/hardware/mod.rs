//! What the domain that owns the machine's devices sees of them.
//!
//! It uses the devices directly, except for what decides where interrupts go: the I/O APICs, and the MSI parts of PCI
//! configuration space. Those it programs as it likes, and Tenon has the real ones deliver to itself and passes each
//! interrupt on to the local APIC that the domain meant.
//!
//! Locks: each I/O APIC has its own, which is a leaf: the real pin is programmed under it. For PCI there is another,
//! under which the domain's p2m is changed and other CPUs are waited for; see `pci`.

mod deliver;
mod gsi;
mod msi;
mod pci;
#[cfg(all(test, not(loom)))]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;

use msi::Messages;
use pci::Pci;

use crate::dom0_map::{Dom0Map, Place};
use crate::domain::Domain;
use crate::fallible::NoMemory;
use crate::frame::{Gaddr, Gfn, Maddr};
use crate::hypervisor::Hypervisor;
use crate::ids::{CpuId, DomId, Vector};
use crate::machine::Machine;
use crate::p2m::{Access, P2mError};
use crate::sync::{Class, Lock};
use crate::vioapic::{Route, VirtualIoApic, WINDOW};
use crate::vpci::{ConfigSpace, Ecam, Frames, Size};

/// log2 of the frames of the pages that device memory is mapped with.
const ORDERS: [u32; 3] = [18, 9, 0];

/// The real counterparts of what the hardware domain programs.
pub trait HostDevices: Copy + ConfigSpace {
    /// Makes the real pin of a GSI deliver as the route says (trigger, polarity, mask), to a vector of Tenon's on `cpu`.
    fn route_gsi(self, route: &Route, cpu: CpuId);

    /// Takes a vector for message-signalled interrupts. Arrivals go to [`Hypervisor::message_arrived`].
    fn take_vector(self) -> Option<Vector>;

    /// Gives a vector back. Nothing sends it any more, but for what is on its way.
    fn free_vector(self, vector: Vector);

    /// Address and data of the message by which a device raises a vector on a CPU.
    fn message(self, vector: Vector, cpu: CpuId) -> (u64, u32);

    /// Reads 1, 2, 4 or 8 aligned bytes of a device's memory. All ones if that cannot be.
    fn read_device(self, at: Maddr, bytes: u64) -> u64;

    /// Writes 1, 2, 4 or 8 aligned bytes of a device's memory.
    fn write_device(self, at: Maddr, bytes: u64, value: u64);

    /// Reads a port next to those of configuration space.
    fn read_port(self, port: u16, size: Size) -> u32;

    /// Writes a port next to those of configuration space.
    fn write_port(self, port: u16, size: Size, value: u32);
}

/// One I/O APIC.
pub struct IoApic {
    /// Where its registers are.
    pub base: Maddr,
    /// Its state as the domain sees it.
    pub state: Lock<VirtualIoApic>,
}

/// The devices of the hardware domain.
pub struct HardwareDomain {
    /// What is where in its address space.
    map: Dom0Map<'static>,
    io_apics: Vec<IoApic>,
    /// Memory-mapped configuration space.
    config: Vec<Ecam>,
    pci: Lock<Pci>,
    messages: Messages,
}

impl HardwareDomain {
    /// The platform with these I/O APICs and these windows to configuration space, in an address space that `map`
    /// describes.
    ///
    /// # Errors
    /// No memory.
    pub fn new(map: Dom0Map<'static>, io_apics: Vec<IoApic>, config: Vec<Ecam>) -> Result<Self, NoMemory> {
        let pci = Lock::new(Class::Pci, Pci::default());
        Ok(Self { map, io_apics, config, pci, messages: Messages::new()? })
    }

    /// Whether some I/O APIC has a pin for that global system interrupt.
    pub fn has_gsi(&self, gsi: u32) -> bool {
        self.io_apics.iter().any(|apic| apic.state.lock().owns(gsi))
    }

    /// Whether a device, or nothing, is at that address.
    fn is_device(&self, at: Maddr) -> bool {
        self.map.place(Gaddr(at.0).frame()) == Place::Device
    }

    fn io_apic_at(&self, at: Gaddr) -> Option<(&IoApic, u16)> {
        self.io_apics.iter().find_map(|apic| {
            let offset = at.0.checked_sub(apic.base.0)?;
            (offset < u64::from(WINDOW)).then_some((apic, offset as u16))
        })
    }
}

/// The hardware domain's devices, with the domain and the hypervisor for what its accesses and interrupts lead to.
#[derive(Clone, Copy)]
pub struct Hardware<'a, M: Machine> {
    hv: &'a Hypervisor<M>,
    domain: &'a Arc<Domain<M>>,
    devices: &'a HardwareDomain,
}

impl<'a, M: Machine> Hardware<'a, M> {
    /// The devices of `domain`, if it is the one that owns the hardware.
    pub fn of(hv: &'a Hypervisor<M>, domain: &'a Arc<Domain<M>>) -> Option<Self> {
        Some(Self { hv, domain, devices: domain.hardware.as_deref()? })
    }

    /// Whether accesses to that guest-physical address are virtualized.
    pub fn claims_memory(self, at: Gaddr) -> bool {
        let devices = self.devices;
        devices.io_apic_at(at).is_some() || devices.config_at(at, 1).is_some() || self.holds_table(at.frame())
    }

    /// Maps device memory that the domain touches for the first time, in as large pages as hold nothing else. False if
    /// it may not have what is there.
    pub fn map_on_demand(self, gfn: Gfn) -> bool {
        // Held until the mapping is made, so that no table appears in it meanwhile.
        let pci = self.devices.pci.lock();
        for order in ORDERS {
            let first = Gfn(gfn.0 >> order << order);
            let run = Frames { first, count: 1 << order };
            if !self.devices.map.is_direct(run.first, run.count) || pci.functions.traps(run) {
                continue;
            }
            match self.domain.memory.map_device(first, order, Access::READ_WRITE) {
                Ok(()) => return true,
                // Something is in it already.
                Err(P2mError::Finer { .. } | P2mError::BadOrder { .. }) if order > 0 => {}
                Err(error) => {
                    crate::hv_log!(self.hv, Warning, "device memory at frame {gfn}: {error}");
                    return false;
                }
            }
        }
        false
    }

    /// Reads a virtualized register.
    pub fn read_memory(self, at: Gaddr, bytes: u64) -> u64 {
        if let Some((apic, offset)) = self.devices.io_apic_at(at) {
            u64::from(apic.state.lock().read(offset))
        } else if let Some(config) = self.devices.config_at(at, bytes) {
            config.map_or(u64::MAX, |(at, size)| self.read_config(at, size).into())
        } else {
            self.read_table_page(Maddr(at.0), bytes)
        }
    }

    /// Writes a virtualized register.
    pub fn write_memory(self, at: Gaddr, bytes: u64, value: u64) {
        if let Some((apic, offset)) = self.devices.io_apic_at(at) {
            self.write_io_apic(apic, offset, value as u32);
        } else if let Some(config) = self.devices.config_at(at, bytes) {
            if let Some((at, size)) = config {
                self.write_config(at, size, value as u32);
            }
        } else {
            self.write_table_page(Maddr(at.0), bytes, value);
        }
    }
}

impl<M: Machine> Hypervisor<M> {
    pub(crate) fn with_hardware(&self, event: impl FnOnce(Hardware<'_, M>)) {
        let domain = self.domain(DomId::ZERO);
        if let Some(hardware) = domain.as_ref().and_then(|domain| Hardware::of(self, domain)) {
            event(hardware);
        }
    }
}

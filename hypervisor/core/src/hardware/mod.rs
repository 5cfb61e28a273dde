//! What the domain that owns the machine's devices sees of them.
//!
//! It uses the devices directly, except for what decides where interrupts go: the I/O APICs, and the MSI parts of PCI
//! configuration space. Those it programs as it likes, and Tenon has the real ones deliver to itself and passes each
//! interrupt on to the local APIC that the domain meant.
//!
//! Locks: each I/O APIC has its own, which is a leaf: the real pin is programmed under it.

mod gsi;

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::dom0_map::{Dom0Map, Place};
use crate::domain::{Domain, VcpuRef};
use crate::frame::{Gaddr, Gfn, Maddr, Mfn};
use crate::hypervisor::Hypervisor;
use crate::ids::Vector;
use crate::machine::Machine;
use crate::p2m::Access;
use crate::sync::Lock;
use crate::vioapic::{Route, VirtualIoApic, WINDOW};

/// The real counterparts of what the hardware domain programs.
pub trait HostDevices: Copy {
    /// Makes the real pin of a GSI deliver as the route says (trigger, polarity, mask), to a vector of Tenon's.
    fn route_gsi(self, route: &Route);
}

/// One I/O APIC.
pub struct IoApic {
    /// Where its registers are.
    pub base: Maddr,
    /// Its state as the domain sees it.
    pub state: Lock<VirtualIoApic>,
}

/// The devices of the hardware domain.
pub struct HardwareDomain<M: Machine> {
    machine: M,
    /// What is where in its address space.
    map: Dom0Map<'static>,
    io_apics: Vec<IoApic>,
}

impl<M: Machine> HardwareDomain<M> {
    /// The platform with these I/O APICs, in an address space that `map` describes.
    #[must_use]
    pub fn new(machine: M, map: Dom0Map<'static>, io_apics: Vec<IoApic>) -> Self {
        Self { machine, map, io_apics }
    }

    /// Whether some I/O APIC has a pin for that global system interrupt.
    #[must_use]
    pub fn has_gsi(&self, gsi: u32) -> bool {
        self.io_apics.iter().any(|apic| apic.state.lock().owns(gsi))
    }

    /// Whether accesses to that guest-physical address are virtualized.
    #[must_use]
    pub fn claims_memory(&self, at: Gaddr) -> bool {
        self.io_apic_at(at).is_some()
    }

    /// Maps device memory that the domain touches for the first time. False if it may not have what is there.
    pub fn map_on_demand(&self, hv: &Hypervisor<M>, domain: &Domain<M>, gfn: Gfn) -> bool {
        match self.map.place(gfn) {
            Place::Device | Place::Firmware => {}
            Place::Ram | Place::Emulated | Place::Denied => return false,
        }
        let flush = || hv.flush_guest_tlbs(domain);
        match domain.memory.map_mmio(gfn, Mfn(gfn.0), 0, Access::READ_WRITE, flush) {
            Ok(()) => true,
            Err(error) => {
                crate::hv_log!(hv, Warning, "device memory at frame {gfn}: {error}");
                false
            }
        }
    }

    /// Reads a virtualized register.
    #[must_use]
    pub fn read_memory(&self, _hv: &Hypervisor<M>, at: Gaddr, _size: usize) -> u64 {
        match self.io_apic_at(at) {
            Some((apic, offset)) => u64::from(apic.state.lock().read(offset)),
            None => u64::MAX,
        }
    }

    /// Writes a virtualized register.
    pub fn write_memory(&self, hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, at: Gaddr, _size: usize, value: u64) {
        if let Some((apic, offset)) = self.io_apic_at(at) {
            self.write_io_apic(hv, vcpu.domain(), apic, offset, value as u32);
        }
    }

    /// Reads a virtualized port.
    #[must_use]
    pub fn read_port(&self, _hv: &Hypervisor<M>, _port: u16, _size: u8) -> u32 {
        u32::MAX
    }

    /// Writes a virtualized port.
    pub fn write_port(&self, _hv: &Hypervisor<M>, _vcpu: &VcpuRef<M>, _port: u16, _size: u8, _value: u32) {}

    /// The guest ended a level-triggered interrupt.
    pub fn end_of_interrupt(&self, hv: &Hypervisor<M>, domain: &Arc<Domain<M>>, vector: Vector) {
        self.end_gsi(hv, domain, vector);
    }

    fn io_apic_at(&self, at: Gaddr) -> Option<(&IoApic, u16)> {
        self.io_apics.iter().find_map(|apic| {
            let offset = at.0.checked_sub(apic.base.0)?;
            (offset < u64::from(WINDOW)).then_some((apic, offset as u16))
        })
    }
}

//! Real interrupts on behalf of domain 0.
//!
//! Each GSI that domain 0 opens gets a vector of its own, as does each message-signalled interrupt; when that arrives,
//! the core is told. Tenon's own line (its serial port) is not for domain 0.

#![allow(unsafe_code, reason = "accesses ports on behalf of domain 0")]

use alloc::vec::Vec;

use spin::Once;
use tenon_core::frame::Maddr;
use tenon_core::hardware::HostDevices;
use tenon_core::ids::{CpuId, Vector};
use tenon_core::sync::{Class, Lock};
use tenon_core::vioapic::Route;
use tenon_core::vpci::{ConfigSpace, Register, Size};

use super::{Backend, Host, pci};
use crate::apic::io;
use crate::cpu::port::Port;
use crate::{cpu, iommu, irq};

/// A line in use.
struct Line {
    gsi: u32,
    vector: Vector,
    /// How it is programmed.
    route: Option<io::Route>,
}

/// Where a device sends message-signalled interrupts (Intel SDM volume 3, 11.11.1).
const MESSAGE_ADDRESS: u64 = 0xfee0_0000;
/// The broadcast id of messages, which have 8 bits for it.
const NARROW_IDS: u32 = 0xff;

/// The lines in use. The I/O APICs' locks are taken under this.
static LINES: Lock<Vec<Line>> = Lock::new(Class::Lines, Vec::new());
/// GSIs that Tenon uses itself.
static OWN: Once<Vec<u32>> = Once::new();

/// Prepares the devices. `own` are the lines that are not for domain 0.
pub fn init(own: Vec<u32>) {
    OWN.call_once(|| own);
    pci::init();
}

fn line_arrived<B: Backend>(vector: Vector) {
    let gsi = LINES.lock().iter().find(|line| line.vector == vector).map(|line| line.gsi);
    if let (Some(gsi), Some(hv)) = (gsi, super::hypervisor::<B>()) {
        hv.gsi(gsi);
    }
}

fn message_arrived<B: Backend>(vector: Vector) {
    if let Some(hv) = super::hypervisor::<B>() {
        hv.message_arrived(vector);
    }
}

/// The APIC id by which devices reach a CPU, or another CPU if its id is too large for them: interrupt remapping, which
/// could carry more bits, is not used.
fn narrow_id(cpu: CpuId) -> u8 {
    let fits = |id: u32| u8::try_from(id).ok().filter(|_| id < NARROW_IDS);
    let wanted = cpu::all().get(cpu.index()).and_then(|cpu| fits(cpu.ids.apic));
    wanted.or_else(|| cpu::online().find_map(|cpu| fits(cpu.ids.apic))).unwrap_or(0)
}

/// Address and data of the message by which a device raises a vector on a CPU.
pub fn message(vector: Vector, cpu: CpuId) -> (u64, u32) {
    (MESSAGE_ADDRESS | u64::from(narrow_id(cpu)) << 12, u32::from(vector.0))
}

impl<B: Backend> ConfigSpace for Host<B> {
    fn read_config(&self, at: Register, size: Size) -> u32 {
        if iommu::is_unit(at.bdf) { size.ones() } else { pci::read_config(at, size) }
    }

    fn write_config(&mut self, at: Register, size: Size, value: u32) {
        if !iommu::is_unit(at.bdf) {
            pci::write_config(at, size, value);
        }
    }
}

impl<B: Backend> HostDevices for Host<B> {
    fn route_gsi(self, route: &Route, cpu: CpuId) {
        if OWN.get().is_some_and(|own| own.contains(&route.gsi)) {
            return;
        }
        let mut lines = LINES.lock();
        let index = match lines.iter().position(|line| line.gsi == route.gsi) {
            Some(index) => index,
            // A line that was never open is masked already.
            None if route.masked => return,
            None => {
                let vector = lines.try_reserve(1).ok().and_then(|()| irq::allocate(line_arrived::<B>));
                let Some(vector) = vector else {
                    log::error!("no vector is left for interrupt line {}", route.gsi);
                    return;
                };
                lines.push(Line { gsi: route.gsi, vector, route: None });
                lines.len() - 1
            }
        };
        let Some(line) = lines.get_mut(index) else { return };
        let Route { gsi, trigger, polarity, masked, .. } = *route;
        let real = io::Route { vector: line.vector, apic_id: narrow_id(cpu), trigger, polarity, masked };
        // Level-triggered lines are masked and unmasked at each interrupt: then only that is written.
        let only_mask = line.route.is_some_and(|old| io::Route { masked, ..old } == real);
        line.route = Some(real);
        let done = if only_mask { io::set_masked(gsi, masked) } else { io::route(gsi, real) };
        if let Err(error) = done {
            log::warn!("{error}");
        }
    }

    fn take_vector(self) -> Option<Vector> {
        irq::allocate(message_arrived::<B>)
    }

    fn free_vector(self, vector: Vector) {
        irq::free(vector);
    }

    fn message(self, vector: Vector, cpu: CpuId) -> (u64, u32) {
        message(vector, cpu)
    }

    fn read_device(self, at: Maddr, bytes: u64) -> u64 {
        pci::device(at, bytes).map_or(u64::MAX, |device| device.read(0, bytes))
    }

    fn write_device(self, at: Maddr, bytes: u64, value: u64) {
        if let Some(device) = pci::device(at, bytes) {
            device.write(0, bytes, value);
        }
    }

    fn read_port(self, port: u16, size: Size) -> u32 {
        // SAFETY: the port shares the place of PCI's address port; it is domain 0's, on whose behalf this is.
        unsafe { Port(port).read(size) }
    }

    fn write_port(self, port: u16, size: Size, value: u32) {
        // SAFETY: as in `read_port`.
        unsafe { Port(port).write(size, value) }
    }
}

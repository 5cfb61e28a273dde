//! Real interrupt lines on behalf of domain 0.
//!
//! Each GSI that domain 0 opens gets a vector of its own; when that arrives, the core is told the GSI. Tenon's own
//! line (its serial port) is not for domain 0.

use alloc::vec::Vec;

use spin::Once;
use tenon_core::acpi;
use tenon_core::hardware::HostDevices;
use tenon_core::ids::Vector;
use tenon_core::sync::Lock;
use tenon_core::vioapic::{Polarity, Route};
use tenon_core::vlapic::Trigger;

use super::Host;
use crate::apic::io;
use crate::cpu::interrupt::Frame;
use crate::{cpu, irq};

/// The vector of each GSI that has one.
static VECTORS: Lock<Vec<(u32, Vector)>> = Lock::new(Vec::new());
/// GSIs that Tenon uses itself.
static OWN: Once<Vec<u32>> = Once::new();

/// Names the lines that are not for domain 0.
pub fn init(own: Vec<u32>) {
    OWN.call_once(|| own);
}

fn vector_of(gsi: u32) -> Option<Vector> {
    let mut vectors = VECTORS.lock();
    if let Some((_, vector)) = vectors.iter().find(|(other, _)| *other == gsi) {
        return Some(*vector);
    }
    vectors.try_reserve(1).ok()?;
    let vector = irq::allocate(arrived)?;
    vectors.push((gsi, vector));
    Some(vector)
}

fn arrived(vector: Vector, _frame: &Frame) {
    let gsi = VECTORS.lock().iter().find(|(_, other)| *other == vector).map(|(gsi, _)| *gsi);
    if let (Some(gsi), Some(hv)) = (gsi, super::hypervisor()) {
        hv.gsi(gsi);
    }
}

impl HostDevices for Host {
    fn route_gsi(self, route: &Route) {
        if OWN.get().is_some_and(|own| own.contains(&route.gsi)) {
            return;
        }
        let known = VECTORS.lock().iter().any(|(gsi, _)| *gsi == route.gsi);
        if route.masked && !known {
            return;
        }
        let Some(vector) = vector_of(route.gsi) else {
            log::error!("no vector is left for interrupt line {}", route.gsi);
            return;
        };
        let target = cpu::all().first().map_or(0, |cpu| cpu.apic_id);
        let real = io::Route {
            vector,
            apic_id: target as u8,
            trigger: match route.trigger {
                Trigger::Edge => acpi::Trigger::Edge,
                Trigger::Level => acpi::Trigger::Level,
            },
            polarity: match route.polarity {
                Polarity::ActiveHigh => acpi::Polarity::High,
                Polarity::ActiveLow => acpi::Polarity::Low,
            },
            masked: route.masked,
        };
        if let Err(error) = io::route(route.gsi, real) {
            log::warn!("{error}");
        }
    }
}

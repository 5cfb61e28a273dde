//! Global system interrupts: from a real pin to the hardware domain's local APICs.

use alloc::sync::Arc;

use super::{HardwareDomain, IoApic, Owner, deliver};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::ids::Vector;
use crate::machine::Machine;
use crate::vioapic::{Effect, Route};

impl<M: Machine> HardwareDomain<M> {
    pub(super) fn write_io_apic(&self, owner: Owner<'_, M>, apic: &IoApic, offset: u16, value: u32) {
        let mut state = apic.state.lock();
        match state.write(offset, value) {
            Effect::None => {}
            Effect::Route { route, deliver } => {
                self.route(owner.domain, &route);
                drop(state);
                if let Some(message) = deliver {
                    deliver::deliver(owner, &message);
                }
            }
            Effect::Eoi(vector) => {
                drop(state);
                self.end_gsi(owner.domain, vector);
            }
        }
    }

    /// The guest ended `vector`: the pins that were waiting for that are opened again.
    pub(super) fn end_gsi(&self, domain: &Arc<Domain<M>>, vector: Vector) {
        for apic in &self.io_apics {
            apic.state.lock().end(vector, |route| self.route(domain, &route));
        }
    }

    /// Has the real pin interrupt the CPU where the vCPU is that the guest chose.
    fn route(&self, domain: &Arc<Domain<M>>, route: &Route) {
        self.machine.route_gsi(route, deliver::best_cpu(domain, route.message.as_ref()));
    }

    /// The real pin has interrupted.
    fn gsi(&self, owner: Owner<'_, M>, gsi: u32) {
        let Some(apic) = self.io_apics.iter().find(|apic| apic.state.lock().owns(gsi)) else { return };
        let mut state = apic.state.lock();
        let message = state.assert(gsi);
        if let Some(route) = state.route(gsi).filter(|route| route.masked) {
            self.route(owner.domain, &route);
        }
        drop(state);
        if let Some(message) = message {
            deliver::deliver(owner, &message);
        }
    }
}

impl<M: Machine> Hypervisor<M> {
    /// A real pin has interrupted: passes it on to the domain that owns the hardware.
    pub fn gsi(&self, gsi: u32) {
        self.with_hardware(|hardware, owner| hardware.gsi(owner, gsi));
    }
}

//! Global system interrupts: from a real pin to the hardware domain's local APICs.

use super::{Hardware, IoApic};
use crate::hypervisor::Hypervisor;
use crate::ids::Vector;
use crate::machine::Machine;
use crate::vioapic::{Effect, Route};

impl<M: Machine> Hardware<'_, M> {
    pub(super) fn write_io_apic(self, apic: &IoApic, offset: u16, value: u32) {
        let mut state = apic.state.lock();
        match state.write(offset, value) {
            Effect::None => {}
            Effect::Route { route, deliver } => {
                self.route(&route);
                drop(state);
                if let Some(message) = deliver {
                    self.deliver(&message);
                }
            }
            Effect::Eoi(vector) => {
                drop(state);
                self.end_of_interrupt(vector);
            }
        }
    }

    /// The guest ended a level-triggered interrupt: the pins that were waiting for that are opened again.
    pub fn end_of_interrupt(self, vector: Vector) {
        for apic in &self.devices.io_apics {
            apic.state.lock().end(vector, |route| self.route(&route));
        }
    }

    /// Has the real pin interrupt the CPU where the vCPU is that the guest chose.
    pub(super) fn route(self, route: &Route) {
        self.hv.machine.route_gsi(route, self.best_cpu(route.message.as_ref()));
    }

    /// The real pin has interrupted.
    fn gsi(self, gsi: u32) {
        let mut apics = self.devices.io_apics.iter().map(|apic| apic.state.lock());
        let Some(mut state) = apics.find(|state| state.owns(gsi)) else { return };
        let message = state.assert(gsi);
        if let Some(route) = state.route(gsi).filter(|route| route.masked) {
            self.route(&route);
        }
        drop(state);
        if let Some(message) = message {
            self.deliver(&message);
        }
    }
}

impl<M: Machine> Hypervisor<M> {
    /// A real pin has interrupted: passes it on to the domain that owns the hardware.
    pub fn gsi(&self, gsi: u32) {
        self.with_hardware(|hardware| hardware.gsi(gsi));
    }
}

//! Global system interrupts: from a real pin to the hardware domain's local APICs.

use alloc::sync::Arc;

use super::{HardwareDomain, IoApic};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::ids::{DomId, Vector};
use crate::interrupt;
use crate::machine::Machine;
use crate::vioapic::Effect;
use crate::vlapic::{Delivery, Message};

impl<M: Machine> HardwareDomain<M> {
    pub(super) fn write_io_apic(
        &self,
        hv: &Hypervisor<M>,
        domain: &Arc<Domain<M>>,
        apic: &IoApic,
        offset: u16,
        value: u32,
    ) {
        let mut state = apic.state.lock();
        match state.write(offset, value) {
            Effect::None => {}
            Effect::Route { route, deliver } => {
                self.machine.route_gsi(&route);
                drop(state);
                if let Some(message) = deliver {
                    deliver_message(hv, domain, &message);
                }
            }
            Effect::Eoi(vector) => {
                drop(state);
                self.end_gsi(hv, domain, vector);
            }
        }
    }

    /// The guest ended `vector`: the pins that were waiting for that are opened again.
    pub(super) fn end_gsi(&self, _hv: &Hypervisor<M>, _domain: &Arc<Domain<M>>, vector: Vector) {
        for apic in &self.io_apics {
            apic.state.lock().end(vector, |route| self.machine.route_gsi(&route));
        }
    }

    /// The real pin has interrupted.
    fn gsi(&self, hv: &Hypervisor<M>, domain: &Arc<Domain<M>>, gsi: u32) {
        let Some(apic) = self.io_apics.iter().find(|apic| apic.state.lock().owns(gsi)) else { return };
        let mut state = apic.state.lock();
        let message = state.assert(gsi);
        if let Some(route) = state.route(gsi).filter(|route| route.masked) {
            self.machine.route_gsi(&route);
        }
        drop(state);
        if let Some(message) = message {
            deliver_message(hv, domain, &message);
        }
    }
}

impl<M: Machine> Hypervisor<M> {
    /// A real pin has interrupted: passes it on to the domain that owns the hardware.
    pub fn gsi(&self, gsi: u32) {
        if let Some(domain) = self.domain(DomId::ZERO)
            && let Some(hardware) = &domain.hardware
        {
            hardware.gsi(self, &domain, gsi);
        }
    }
}

/// Delivers an interrupt message to the local APICs that it names.
pub(super) fn deliver_message<M: Machine>(hv: &Hypervisor<M>, domain: &Arc<Domain<M>>, message: &Message) {
    let mut targets = domain.vcpu_refs().filter(|vcpu| vcpu.identity.load().matches(message.destination));
    match message.delivery {
        Delivery::Fixed(vector) => {
            targets.for_each(|vcpu| interrupt::post(hv, &vcpu, vector, message.trigger));
        }
        Delivery::LowestPriority(vector) => {
            if let Some(vcpu) = targets.next() {
                interrupt::post(hv, &vcpu, vector, message.trigger);
            }
        }
        Delivery::Nmi => targets.for_each(|vcpu| {
            vcpu.request(crate::domain::Requests::NMI);
            hv.sched.wake(&vcpu);
        }),
        Delivery::Init | Delivery::Startup(_) | Delivery::ExtInt => {}
    }
}

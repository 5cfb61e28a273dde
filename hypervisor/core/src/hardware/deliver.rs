//! From an interrupt message of the hardware domain to the local APICs that it names.

use super::Hardware;
use crate::domain::VcpuRef;
use crate::ids::CpuId;
use crate::interrupt;
use crate::machine::Machine;
use crate::vlapic::{Delivery, Message};

impl<'a, M: Machine> Hardware<'a, M> {
    /// Has the real interrupts that go to a CPU go elsewhere: no vCPU of the domain is there any more.
    pub fn leave_cpu(self, cpu: CpuId) {
        for apic in &self.devices.io_apics {
            apic.state.lock().routes().filter(|route| !route.masked).for_each(|route| self.route(&route));
        }
        self.move_messages(cpu);
    }

    pub(super) fn deliver(self, message: &Message) {
        // No device resets or starts a vCPU.
        if !matches!(message.delivery, Delivery::Init | Delivery::Startup(_)) {
            interrupt::send(self.hv, message.delivery, message.trigger, self.named_by(message));
        }
    }

    fn named_by(self, message: &Message) -> impl Iterator<Item = VcpuRef<M>> + use<'a, M> {
        let destination = message.destination;
        self.domain.vcpu_refs().filter(move |vcpu| vcpu.identity.load().matches(destination))
    }

    /// The CPU that the real interrupt had best go to: where the vCPU is that the message names first.
    pub(super) fn best_cpu(self, message: Option<&Message>) -> CpuId {
        message
            .and_then(|message| self.named_by(message).next())
            .map_or(CpuId(0), |vcpu| self.hv.sched.cpu_of(&vcpu))
    }
}

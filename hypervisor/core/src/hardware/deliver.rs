//! From an interrupt message of the hardware domain to the local APICs that it names.

use super::Hardware;
use crate::domain::VcpuRef;
use crate::ids::CpuId;
use crate::interrupt;
use crate::machine::Machine;
use crate::vlapic::{Delivery, Message};

impl<'a, M: Machine> Hardware<'a, M> {
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
        message.and_then(|message| self.named_by(message).next()).map_or(CpuId(0), |vcpu| vcpu.sched.home())
    }
}

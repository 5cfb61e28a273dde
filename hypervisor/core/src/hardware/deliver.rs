//! From an interrupt message of the hardware domain to the local APICs that it names.

use alloc::sync::Arc;

use super::Owner;
use crate::domain::{Domain, Requests};
use crate::ids::CpuId;
use crate::interrupt;
use crate::machine::Machine;
use crate::vlapic::{Delivery, Message};

/// Delivers a message. It reaches vCPUs wherever they are: posting wakes or interrupts them.
pub(super) fn deliver<M: Machine>(Owner { hv, domain }: Owner<'_, M>, message: &Message) {
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
        Delivery::Nmi => targets.for_each(|vcpu| hv.sched.signal(&vcpu, Requests::NMI)),
        Delivery::Init | Delivery::Startup(_) | Delivery::ExtInt => {}
    }
}

/// The CPU that the real interrupt had best go to: where the vCPU is that the message names first.
pub(super) fn best_cpu<M: Machine>(domain: &Arc<Domain<M>>, message: Option<&Message>) -> CpuId {
    let named = |destination| domain.vcpu_refs().find(|vcpu| vcpu.identity.load().matches(destination));
    message.and_then(|message| named(message.destination)).map_or(CpuId(0), |vcpu| vcpu.sched.home())
}

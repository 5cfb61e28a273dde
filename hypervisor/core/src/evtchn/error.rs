//! Why an event channel operation was refused.

use crate::fallible::NoMemory;
use crate::ids::{DomId, Port, VcpuId};
use crate::refusals;

refusals! {
    /// A refused event channel operation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum EvtchnError {
        /// The port is not open in that domain.
        NotOpen(port: Port) => EINVAL, "event channel {port} is not open";
        /// The port is open, but what it is bound to does not allow the operation.
        WrongKind(port: Port) => EINVAL, "event channel {port} is bound to something else";
        /// Every port up to the domain's limit, or the limit of its event ABI, is taken.
        Full { end: u32 } => ENOSPC, "all event channel ports below {end} are taken";
        /// The hypervisor's heap is full.
        NoMemory => ENOMEM, "no hypervisor memory left for event channels";
        /// The domain has no such vCPU.
        NoVcpu(vcpu: VcpuId) => ENOENT, "the domain has no {vcpu}";
        /// No such virtual interrupt line.
        NoVirq(virq: u32) => EINVAL, "there is no VIRQ {virq}";
        /// A global virtual interrupt is bound through vCPU 0 only.
        GlobalVirq(virq: u32) => EINVAL, "VIRQ {virq} is global: it is bound through v0";
        /// The virtual interrupt has a port on that vCPU already.
        VirqBound(port: Port) => EEXIST, "the VIRQ is bound to {port} already";
        /// Physical interrupts have no event channels here: they come through the local APIC.
        NoPirq(pirq: u32) => EINVAL, "the domain has no physical interrupt {pirq}";
        /// The remote port does not wait for a connection from this domain.
        NotOffered { dom: DomId, port: Port } => EINVAL, "{port} of {dom} is not offered to this domain";
        /// The domain is being destroyed.
        Dying(dom: DomId) => ESRCH, "{dom} is being destroyed";
        /// The channel's other end moved while the locks were being taken; look again.
        Raced(port: Port) => EAGAIN, "{port} changed its other end meanwhile";
        /// The operation exists in the FIFO ABI only, and the domain uses the 2-level one.
        NotFifo => ENOSYS, "the domain uses 2-level event channels";
        /// An event array comes after the first control block.
        NoControlBlock => EOPNOTSUPP, "no vCPU has a FIFO control block yet";
        /// The vCPU has its FIFO control block already.
        ControlBound(vcpu: VcpuId) => EINVAL, "{vcpu} has a FIFO control block already";
        /// The structure crosses its page's end or is misaligned.
        BadOffset(offset: u32) => EINVAL, "offset {offset:#x} is misaligned or too near the page's end";
        /// The event array has its last page already.
        ArrayFull => ENOSPC, "the event array is complete: 131072 events";
        /// Priorities run from 0 to 15.
        BadPriority(priority: u32) => EINVAL, "priority {priority} is above 15";
        /// The vCPU has registered its `vcpu_info` already.
        InfoBound(vcpu: VcpuId) => EINVAL, "{vcpu} has registered its vcpu_info already";
    }
}

impl From<NoMemory> for EvtchnError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

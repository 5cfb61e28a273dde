//! Why an event channel operation was refused.

use core::fmt;

use hypercall_abi::errno::Errno;

use crate::fallible::NoMemory;
use crate::ids::{DomId, Port, VcpuId};
use crate::refusal::Refusal;

/// A refused event channel operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvtchnError {
    /// The port is not open in that domain.
    NotOpen(Port),
    /// The port is open, but what it is bound to does not allow the operation.
    WrongKind(Port),
    /// Every port up to the domain's limit, or the limit of its event ABI, is taken.
    Full {
        /// The first port number that is out of reach.
        end: u32,
    },
    /// The hypervisor's heap is full.
    NoMemory,
    /// The domain has no such vCPU.
    NoVcpu(VcpuId),
    /// No such virtual interrupt line.
    NoVirq(u32),
    /// A global virtual interrupt is bound through vCPU 0 only.
    GlobalVirq(u32),
    /// The virtual interrupt has a port on that vCPU already.
    VirqBound(Port),
    /// The domain has no such physical interrupt.
    NoPirq(u32),
    /// The physical interrupt has a port already.
    PirqBound(Port),
    /// The remote port does not wait for a connection from this domain.
    NotOffered {
        /// The domain asked.
        dom: DomId,
        /// Its port.
        port: Port,
    },
    /// The domain is being destroyed.
    Dying(DomId),
    /// The channel's other end moved while the locks were being taken; look again.
    Raced(Port),
    /// The operation exists in the FIFO ABI only, and the domain uses the 2-level one.
    NotFifo,
    /// An event array comes after the first control block.
    NoControlBlock,
    /// The vCPU has its FIFO control block already.
    ControlBound(VcpuId),
    /// The structure crosses its page's end or is misaligned.
    BadOffset(u32),
    /// The event array has its last page already.
    ArrayFull,
    /// Priorities run from 0 to 15.
    BadPriority(u32),
    /// The vCPU has registered its `vcpu_info` already.
    InfoBound(VcpuId),
}

impl From<NoMemory> for EvtchnError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl fmt::Display for EvtchnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen(port) => write!(f, "event channel {port} is not open"),
            Self::WrongKind(port) => write!(f, "event channel {port} is bound to something else"),
            Self::Full { end } => write!(f, "all event channel ports below {end} are taken"),
            Self::NoMemory => f.write_str("no hypervisor memory left for event channels"),
            Self::NoVcpu(vcpu) => write!(f, "the domain has no {vcpu}"),
            Self::NoVirq(virq) => write!(f, "there is no VIRQ {virq}"),
            Self::GlobalVirq(virq) => write!(f, "VIRQ {virq} is global: it is bound through v0"),
            Self::VirqBound(port) => write!(f, "the VIRQ is bound to {port} already"),
            Self::NoPirq(pirq) => write!(f, "the domain has no physical interrupt {pirq}"),
            Self::PirqBound(port) => write!(f, "the physical interrupt is bound to {port} already"),
            Self::NotOffered { dom, port } => write!(f, "{port} of {dom} is not offered to this domain"),
            Self::Dying(dom) => write!(f, "{dom} is being destroyed"),
            Self::Raced(port) => write!(f, "{port} changed its other end meanwhile"),
            Self::NotFifo => f.write_str("the domain uses 2-level event channels"),
            Self::NoControlBlock => f.write_str("no vCPU has a FIFO control block yet"),
            Self::ControlBound(vcpu) => write!(f, "{vcpu} has a FIFO control block already"),
            Self::BadOffset(offset) => {
                write!(f, "offset {offset:#x} is misaligned or too near the page's end")
            }
            Self::ArrayFull => f.write_str("the event array is complete: 131072 events"),
            Self::BadPriority(priority) => write!(f, "priority {priority} is above 15"),
            Self::InfoBound(vcpu) => write!(f, "{vcpu} has registered its vcpu_info already"),
        }
    }
}

impl Refusal for EvtchnError {
    fn errno(&self) -> Errno {
        match self {
            Self::NotOpen(_)
            | Self::WrongKind(_)
            | Self::NoVirq(_)
            | Self::GlobalVirq(_)
            | Self::NoPirq(_)
            | Self::NotOffered { .. }
            | Self::ControlBound(_)
            | Self::BadOffset(_)
            | Self::BadPriority(_)
            | Self::InfoBound(_) => Errno::EINVAL,
            Self::Full { .. } | Self::ArrayFull => Errno::ENOSPC,
            Self::NoMemory => Errno::ENOMEM,
            Self::NoVcpu(_) => Errno::ENOENT,
            Self::VirqBound(_) | Self::PirqBound(_) => Errno::EEXIST,
            Self::Dying(_) => Errno::ESRCH,
            Self::Raced(_) => Errno::EAGAIN,
            Self::NotFifo => Errno::ENOSYS,
            Self::NoControlBlock => Errno::EOPNOTSUPP,
        }
    }
}

//! One end of an event channel.

use hypercall_abi::event_channel as abi;

use crate::ids::{DomId, Port, VcpuId};

/// The priority a port starts with; 0 is the highest, 15 the lowest.
const DEFAULT_PRIORITY: u8 = abi::FIFO_PRIORITY_DEFAULT as u8;

/// What a port is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing: the port can be handed out.
    Free,
    /// Nothing, and it never will be: port 0 means "no port".
    Reserved,
    /// Waits for `remote` to connect.
    Unbound {
        /// Who may connect.
        remote: DomId,
    },
    /// Connected. The other end's state names this port, always.
    Interdomain {
        /// The domain at the other end.
        remote: DomId,
        /// Its port.
        remote_port: Port,
    },
    /// A virtual interrupt line.
    Virq {
        /// Which.
        virq: super::Virq,
    },
    /// Interrupts between the domain's own vCPUs.
    Ipi,
}

/// A queue of the FIFO ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueId {
    pub vcpu: VcpuId,
    pub priority: u8,
}

/// A port's entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub state: State,
    /// Whom an event on this port interrupts. Always one of the domain's vCPUs.
    pub vcpu: VcpuId,
    pub priority: u8,
    /// An event came before the guest gave the array page that has its word (FIFO only).
    pub early: bool,
    /// The queue this port was last put in. It outlives the binding: the guest may consume the entry later.
    pub queue: Option<QueueId>,
}

impl Channel {
    pub const FREE: Self =
        Self { state: State::Free, vcpu: VcpuId(0), priority: DEFAULT_PRIORITY, early: false, queue: None };

    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Free | State::Reserved)
    }
}

//! Event channels: the guest ABI's interrupts (`public/event_channel.h`).
//!
//! [`EventChannels`] is a domain's port table with everything its events need: the shared page, the `vcpu_info`s,
//! the FIFO pages. It is owned by its domain and protected by one lock, which all methods assume held (`&mut self`).
//!
//! # Locking
//! - Binding and closing a channel between two domains changes both ends at once: the caller takes both domains'
//!   locks in the order of the domain ids and passes a [`Pair`](crate::pair::Pair).
//! - Sending takes one lock at a time: [`route`](EventChannels::route) under the sender's, then
//!   [`deliver`](EventChannels::deliver) under the receiver's.
//!
//! # Invariants
//! - If port p of A is connected to port q of B, then q of B is connected to p of A. Both ends change under both locks.
//! - Therefore a domain stays reachable, though dying, until its destruction has closed its last port.
//! - A channel's vCPU exists. A VIRQ slot names a port that is bound to just that line.
//!
//! # Races between the two steps of a send
//! Between `route` and `deliver` the channel may change. `deliver` therefore looks whether the receiving port is still
//! connected to the sending port of the sending domain, and drops the event if not:
//! - closed by either end: the receiver's port is free or unbound; the event is lost, as if it had come after the
//!   close. (Closing clears PENDING, so the order cannot be told apart.)
//! - closed and its number used for something else: not connected to the sender; dropped.
//! - closed and connected again between the same two ports: delivered to the new connection. The sender may send there
//!   at that moment, and connecting marks the channel pending anyway, so the guest sees nothing it must not.
//! - receiver destroyed: its ports are closed before it goes; the caller finds no domain, or `deliver` no port.

mod bind;
mod bits;
mod channel;
mod close;
mod deliver;
mod error;
mod fifo;
mod fifo_ops;
mod layout;
mod poll;
mod status;
mod table;
mod two_level;
mod vcpu;
mod virq;

#[cfg(all(test, loom))]
#[path = "tests/loom.rs"]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use alloc::vec::Vec;

pub use bits::InfoAt;
pub use channel::State;
pub use close::Teardown;
pub use deliver::{Route, Wake};
pub use error::EvtchnError;
pub use layout::{Layout, VCPU_INFO_SIZE};
pub use poll::Poll;
pub use status::Status;
pub use vcpu::Woken;
pub use virq::{COUNT as VIRQ_COUNT, Virq};

use crate::fallible;
use crate::ids::{DomId, Port, VcpuId};
use bits::Bits;
use table::PortTable;
use two_level::TwoLevel;
use vcpu::Vcpu;

/// The event channels of one domain.
#[derive(Debug)]
pub struct EventChannels<P> {
    dom: DomId,
    max_port: Port,
    ports: PortTable,
    bits: Bits<P>,
    vcpus: Vec<Vcpu>,
    /// vCPUs that poll.
    pollers: u32,
    dying: bool,
}

/// What a new domain's event channels are made from.
#[derive(Debug)]
pub struct Config<P> {
    /// The domain.
    pub dom: DomId,
    /// The highest port number it may use; the event ABI in use may allow fewer.
    pub max_port: Port,
    /// Its number of vCPUs, which is fixed.
    pub vcpus: u32,
    /// The page that holds its `shared_info`.
    pub shared_info: P,
}

impl<P: crate::page::GuestPage> EventChannels<P> {
    /// An empty table, with the 64-bit layout; see [`set_layout`](Self::set_layout).
    ///
    /// # Errors
    /// [`EvtchnError::NoMemory`].
    pub fn new(config: Config<P>) -> Result<Self, EvtchnError> {
        let vcpus = config.vcpus as usize;
        let two_level = TwoLevel { shared: config.shared_info, layout: Layout::X64 };
        Ok(Self {
            dom: config.dom,
            max_port: config.max_port,
            ports: PortTable::default(),
            bits: Bits { two_level, fifo: None, infos: fallible::filled(vcpus, || None)? },
            vcpus: fallible::filled(vcpus, Vcpu::default)?,
            pollers: 0,
            dying: false,
        })
    }

    /// One past the highest port that can be opened.
    fn end(&self) -> u32 {
        let abi = if self.bits.fifo.is_some() { fifo::PORTS } else { self.bits.two_level.layout.ports() };
        self.max_port.0.saturating_add(1).min(abi)
    }

    fn alloc(&mut self, state: State, vcpu: VcpuId) -> Result<Port, EvtchnError> {
        if self.dying {
            return Err(EvtchnError::Dying(self.dom));
        }
        let end = self.end();
        self.ports.alloc(state, vcpu, end)
    }
}

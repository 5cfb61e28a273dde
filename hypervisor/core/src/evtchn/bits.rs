//! The guest's view of its events, whichever ABI it uses: the pages, apart from the ports.

use super::channel::Channel;
use super::fifo::Fifo;
use super::layout::Layout;
use super::two_level;
use super::vcpu::{InfoAt, Vcpu, info_at};
use crate::ids::{Port, VcpuId};
use crate::page::GuestPage;

/// What a change of a port's bits did in the ABI's own structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raised {
    /// The port was not pending before.
    pub edge: bool,
    /// The vCPU must look: its selector or ready bit was clear.
    pub notify: bool,
}

impl Raised {
    pub const NOTHING: Self = Self { edge: false, notify: false };
}

/// What the guest was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The port was not pending before.
    pub edge: bool,
    /// This vCPU was asked for an upcall that it was not asked for already.
    pub upcall: Option<VcpuId>,
}

/// All pages that show events.
pub(super) struct Bits<'a, P> {
    pub fifo: &'a mut Option<Fifo<P>>,
    pub shared: &'a P,
    pub layout: Layout,
    pub vcpus: &'a [Vcpu<P>],
}

impl<P: GuestPage> Bits<'_, P> {
    /// Sets the port pending.
    pub fn set_pending(&mut self, port: Port, channel: &mut Channel) -> Shown {
        let (vcpu, info) = (channel.vcpu, info_at(self.shared, self.vcpus, channel.vcpu));
        let raised = match self.fifo {
            Some(fifo) => fifo.set_pending(port, channel),
            None => two_level::set_pending(self.shared, self.layout, info, port),
        };
        Self::upcall(vcpu, info, raised)
    }

    /// Clears the port's mask.
    pub fn unmask(&mut self, port: Port, channel: &mut Channel) -> Shown {
        let (vcpu, info) = (channel.vcpu, info_at(self.shared, self.vcpus, channel.vcpu));
        let raised = match self.fifo {
            Some(fifo) => fifo.unmask(port, channel),
            None => two_level::unmask(self.shared, self.layout, info, port),
        };
        Self::upcall(vcpu, info, raised)
    }

    fn upcall(vcpu: VcpuId, info: Option<InfoAt<'_, P>>, raised: Raised) -> Shown {
        let asked = raised.notify && info.is_some_and(InfoAt::set_upcall);
        Shown { edge: raised.edge, upcall: asked.then_some(vcpu) }
    }
}

//! The guest's view of its events, whichever ABI it uses: the pages, apart from the ports.

use alloc::vec::Vec;

use super::channel::Channel;
use super::fifo::Fifo;
use super::layout::{LEGACY_VCPUS, UPCALL_PENDING, VCPU_INFO_SIZE};
use super::two_level::TwoLevel;
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

/// Where a `vcpu_info` is.
#[derive(Debug)]
pub struct InfoAt<'a, P> {
    /// The page.
    pub page: &'a P,
    /// Bytes from the page's start; the structure's 64 bytes fit.
    pub offset: usize,
}

impl<P: GuestPage> InfoAt<'_, P> {
    /// Whether an upcall is due.
    pub fn upcall_pending(&self) -> bool {
        self.page.load32(self.offset + UPCALL_PENDING) & 0xff != 0
    }

    /// Asks for an upcall; says whether none was due. The guest's bytes next to the flag stay as they are.
    pub(super) fn set_upcall(&self) -> bool {
        self.page.fetch_or32(self.offset + UPCALL_PENDING, 1) & 0xff == 0
    }
}

/// All pages that show events.
#[derive(Debug)]
pub(super) struct Bits<P> {
    /// `shared_info`, which shows the ports while the guest has not chosen the FIFO ABI.
    pub two_level: TwoLevel<P>,
    /// Present once it has.
    pub fifo: Option<Fifo<P>>,
    /// Where the guest put each vCPU's `vcpu_info`; `None` is the default place.
    pub infos: Vec<Option<(P, usize)>>,
}

impl<P: GuestPage> Bits<P> {
    /// Sets the port pending.
    pub fn set_pending(&mut self, port: Port, channel: &mut Channel) -> Shown {
        let raised = match &mut self.fifo {
            Some(fifo) => fifo.set_pending(port, channel),
            None => self.two_level.set_pending(self.info(channel.vcpu), port),
        };
        self.upcall(channel.vcpu, raised)
    }

    /// Clears the port's mask.
    pub fn unmask(&mut self, port: Port, channel: &mut Channel) -> Shown {
        let raised = match &mut self.fifo {
            Some(fifo) => fifo.unmask(port, channel),
            None => self.two_level.unmask(self.info(channel.vcpu), port),
        };
        self.upcall(channel.vcpu, raised)
    }

    pub fn is_pending(&self, port: Port, channel: &Channel) -> bool {
        match &self.fifo {
            Some(fifo) => fifo.is_pending(port, channel),
            None => self.two_level.is_pending(port),
        }
    }

    pub fn clear_pending(&self, port: Port) {
        match &self.fifo {
            Some(fifo) => fifo.clear_pending(port),
            None => self.two_level.clear_pending(port),
        }
    }

    /// Where the vCPU's `vcpu_info` is, if it has one.
    pub fn info(&self, vcpu: VcpuId) -> Option<InfoAt<'_, P>> {
        match self.infos.get(vcpu.index())? {
            Some((page, offset)) => Some(InfoAt { page, offset: *offset }),
            None if vcpu.0 < LEGACY_VCPUS => {
                Some(InfoAt { page: &self.two_level.shared, offset: vcpu.index() * VCPU_INFO_SIZE })
            }
            None => None,
        }
    }

    fn upcall(&self, vcpu: VcpuId, raised: Raised) -> Shown {
        let asked = raised.notify && self.info(vcpu).is_some_and(|info| info.set_upcall());
        Shown { edge: raised.edge, upcall: asked.then_some(vcpu) }
    }
}

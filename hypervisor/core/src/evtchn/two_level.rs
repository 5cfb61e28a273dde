//! The 2-level ABI: one pending and one mask bit per port in `shared_info`, one selector word per vCPU.

use super::bits::{InfoAt, Raised};
use super::layout::Layout;
use crate::ids::Port;
use crate::page::GuestPage;

/// `shared_info`, and how it is laid out at the moment.
#[derive(Debug)]
pub(super) struct TwoLevel<P> {
    pub shared: P,
    pub layout: Layout,
}

impl<P: GuestPage> TwoLevel<P> {
    /// Sets the port's pending bit and, if the port is unmasked, its selector bit.
    ///
    /// A vCPU without a `vcpu_info` gets no selector bit; registering one sets them all.
    pub fn set_pending(&self, info: Option<InfoAt<'_, P>>, port: Port) -> Raised {
        let (Some(pending), Some(mask)) = (self.layout.pending(port.0), self.layout.mask(port.0)) else {
            // The guest narrowed its layout after it opened the port: nowhere to show the event.
            return Raised::NOTHING;
        };
        if self.shared.fetch_or32(pending.offset, pending.mask) & pending.mask != 0 {
            return Raised::NOTHING;
        }
        let masked = self.shared.load32(mask.offset) & mask.mask != 0;
        Raised { edge: true, notify: !masked && self.select(info, port) }
    }

    /// Clears the port's mask bit; an event that came meanwhile is selected now.
    pub fn unmask(&self, info: Option<InfoAt<'_, P>>, port: Port) -> Raised {
        let Some(mask) = self.layout.mask(port.0) else { return Raised::NOTHING };
        let was_masked = self.shared.fetch_and32(mask.offset, !mask.mask) & mask.mask != 0;
        let notify = was_masked && self.is_pending(port) && self.select(info, port);
        Raised { edge: false, notify }
    }

    pub fn is_pending(&self, port: Port) -> bool {
        self.layout.pending(port.0).is_some_and(|bit| self.shared.load32(bit.offset) & bit.mask != 0)
    }

    pub fn clear_pending(&self, port: Port) {
        if let Some(bit) = self.layout.pending(port.0) {
            self.shared.fetch_and32(bit.offset, !bit.mask);
        }
    }

    /// Sets the selector bit of the port's word; says whether it was clear.
    fn select(&self, info: Option<InfoAt<'_, P>>, port: Port) -> bool {
        let (Some(info), Some(bit)) = (info, self.layout.selector(port.0)) else { return false };
        info.page.fetch_or32(info.offset + bit.offset, bit.mask) & bit.mask == 0
    }
}

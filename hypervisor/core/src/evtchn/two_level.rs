//! The 2-level ABI: one pending and one mask bit per port in `shared_info`, one selector word per vCPU.

use super::bits::Raised;
use super::layout::Layout;
use super::vcpu::InfoAt;
use crate::ids::Port;
use crate::page::GuestPage;

/// Sets the port's pending bit and, if the port is unmasked, its selector bit.
///
/// A vCPU without a `vcpu_info` gets no selector bit; registering one sets them all.
pub(super) fn set_pending<P: GuestPage>(
    shared: &P,
    layout: Layout,
    info: Option<InfoAt<'_, P>>,
    port: Port,
) -> Raised {
    let (Some(pending), Some(mask)) = (layout.pending(port.0), layout.mask(port.0)) else {
        // The guest narrowed its layout after it opened the port: nowhere to show the event.
        return Raised::NOTHING;
    };
    if shared.fetch_or32(pending.offset, pending.mask) & pending.mask != 0 {
        return Raised::NOTHING;
    }
    let masked = shared.load32(mask.offset) & mask.mask != 0;
    Raised { edge: true, notify: !masked && select(layout, info, port) }
}

/// Clears the port's mask bit; an event that came meanwhile is selected now.
pub(super) fn unmask<P: GuestPage>(
    shared: &P,
    layout: Layout,
    info: Option<InfoAt<'_, P>>,
    port: Port,
) -> Raised {
    let (Some(pending), Some(mask)) = (layout.pending(port.0), layout.mask(port.0)) else {
        return Raised::NOTHING;
    };
    let was_masked = shared.fetch_and32(mask.offset, !mask.mask) & mask.mask != 0;
    let is_pending = was_masked && shared.load32(pending.offset) & pending.mask != 0;
    Raised { edge: false, notify: is_pending && select(layout, info, port) }
}

pub(super) fn is_pending<P: GuestPage>(shared: &P, layout: Layout, port: Port) -> bool {
    layout.pending(port.0).is_some_and(|bit| shared.load32(bit.offset) & bit.mask != 0)
}

pub(super) fn is_masked<P: GuestPage>(shared: &P, layout: Layout, port: Port) -> bool {
    layout.mask(port.0).is_none_or(|bit| shared.load32(bit.offset) & bit.mask != 0)
}

pub(super) fn clear_pending<P: GuestPage>(shared: &P, layout: Layout, port: Port) {
    if let Some(bit) = layout.pending(port.0) {
        shared.fetch_and32(bit.offset, !bit.mask);
    }
}

/// Sets the selector bit of the port's word; says whether it was clear.
fn select<P: GuestPage>(layout: Layout, info: Option<InfoAt<'_, P>>, port: Port) -> bool {
    let (Some(info), Some(bit)) = (info, layout.selector(port.0)) else { return false };
    info.page.fetch_or32(info.offset + bit.offset, bit.mask) & bit.mask == 0
}

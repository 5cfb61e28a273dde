//! What event delivery knows of a vCPU: its VIRQs, what it polls for, and where its `vcpu_info` is.

use super::bits::InfoAt;
use super::layout::{Layout, VCPU_INFO_SIZE};
use super::virq::{self, Virq};
use super::{EventChannels, EvtchnError, Wake};
use crate::frame::PAGE_SIZE;
use crate::ids::{Port, VcpuId};
use crate::page::GuestPage;

/// What a vCPU in `SCHEDOP_poll` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polling {
    /// Exactly this port.
    One(Port),
    /// Several ports: any event wakes it, and it looks itself.
    Any,
}

#[derive(Debug, Default)]
pub(super) struct Vcpu {
    pub virqs: [Option<Port>; virq::COUNT],
    pub polling: Option<Polling>,
    /// Woken, and not yet handed out by [`EventChannels::next_woken`].
    pub woken: Option<Woken>,
}

/// Why a vCPU runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Its `SCHEDOP_poll` is over.
    Poll,
    /// It has an upcall to take (and if it polled, that is over as well).
    Upcall,
}

impl<P: GuestPage> EventChannels<P> {
    /// Where the `vcpu_info` of `vcpu` is; `None` for a vCPU from 32 up that has not registered one.
    pub fn vcpu_info(&self, vcpu: VcpuId) -> Option<InfoAt<'_, P>> {
        self.bits.info(vcpu)
    }

    /// Whether the vCPU must take an upcall before it runs on. Its flag is the guest's to clear.
    pub fn upcall_pending(&self, vcpu: VcpuId) -> bool {
        self.vcpu_info(vcpu).is_some_and(|info| info.upcall_pending())
    }

    /// Moves a vCPU's `vcpu_info` to a page of the guest's choice (`VCPUOP_register_vcpu_info`).
    ///
    /// The contents move along, and every event counts as pending, so that none is lost that came while there was no
    /// structure or while it moved. The caller makes sure that the vCPU is the current one or is not running.
    ///
    /// # Errors
    /// [`EvtchnError::NoVcpu`], [`EvtchnError::InfoBound`] the second time, [`EvtchnError::BadOffset`] if the
    /// structure would be misaligned for the guest's layout or cross the page's end.
    pub fn register_vcpu_info(&mut self, vcpu: VcpuId, page: P, offset: u32) -> Result<Wake, EvtchnError> {
        let (at, layout) = (offset as usize, self.bits.two_level.layout);
        if !at.is_multiple_of(layout.align()) || at > PAGE_SIZE - VCPU_INFO_SIZE {
            return Err(EvtchnError::BadOffset(offset));
        }
        let mut bytes = [0; VCPU_INFO_SIZE];
        if let Some(old) = self.vcpu_info(vcpu) {
            old.page.read(old.offset, &mut bytes);
        }
        let slot = self.bits.infos.get_mut(vcpu.index()).ok_or(EvtchnError::NoVcpu(vcpu))?;
        if slot.is_some() {
            return Err(EvtchnError::InfoBound(vcpu));
        }
        page.write(at, &bytes);
        let (selector, words) = layout.selector_words();
        for word in 0..words {
            page.store32(at + selector + 4 * word, u32::MAX);
        }
        InfoAt { page: &page, offset: at }.set_upcall();
        *slot = Some((page, at));
        Ok(Wake { upcall: Some(vcpu), more: false })
    }

    /// The layout of what the guest shares with the hypervisor.
    pub fn layout(&self) -> Layout {
        self.bits.two_level.layout
    }

    /// Changes the layout, as a guest does early in its boot. Pending events stay where the old layout had them.
    pub fn set_layout(&mut self, layout: Layout) {
        self.bits.two_level.layout = layout;
    }

    pub(super) fn check_vcpu(&self, vcpu: VcpuId) -> Result<(), EvtchnError> {
        if vcpu.index() < self.vcpus.len() { Ok(()) } else { Err(EvtchnError::NoVcpu(vcpu)) }
    }

    pub(super) fn virq_slot(&mut self, virq: Virq, vcpu: VcpuId) -> Option<&mut Option<Port>> {
        self.vcpus.get_mut(vcpu.index())?.virqs.get_mut(virq.index())
    }
}

//! What the scheduler and the guests do, recorded for whoever looks in the control domain.
//!
//! Interface and layout are Xen's (`public/trace.h`, `XEN_SYSCTL_tbuf_op`), and so are the numbers of events, but for
//! [`SCHED_KICK`](abi::SCHED_KICK). While tracing is off, a trace point is a load and a branch.
//!
//! The buffers are made when somebody asks for them first, and stay: no event ever finds them half gone.

mod ring;
#[cfg(all(test, not(loom)))]
mod tests;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use hypercall_abi::trace as abi;
use hypercall_abi::xen::DOMID_XEN;
use spin::Once;

use crate::domain::MemoryFault;
use crate::fallible;
use crate::frame::{Gfn, Mfn};
use crate::frames::{FrameKind, FrameRef, OutOfFrames};
use crate::guest_cpu::{Exit, Gpr, GuestCpu};
use crate::ids::DomId;
use crate::machine::{MAX_CPUS, Machine};
use crate::page::GuestPage;
use ring::Ring;

/// The owner of the buffers.
const OWNER: DomId = DomId(DOMID_XEN);

/// The trace of a machine.
pub struct Trace<M: Machine> {
    machine: M,
    /// Whether events are recorded, once there are buffers.
    pub on: AtomicBool,
    /// The classes and subclasses of events that are wanted.
    pub events: AtomicU32,
    rings: [Ring; MAX_CPUS],
    /// What tells the tools where the rings are (`struct t_info`); then the rings, equally long.
    pages: Once<Vec<FrameRef<M>>>,
}

impl<M: Machine> Trace<M> {
    /// No trace yet.
    pub const fn new(machine: M) -> Self {
        let (on, events) = (AtomicBool::new(false), AtomicU32::new(abi::ALL));
        Self { machine, on, events, rings: [const { Ring::new() }; MAX_CPUS], pages: Once::new() }
    }

    /// Makes the buffers, if there are none: of `pages` pages for each CPU, or as many as fit.
    ///
    /// # Errors
    /// No memory.
    pub fn set_size(&self, pages: u32) -> Result<(), OutOfFrames> {
        let layout = abi::Info::fitting(self.machine.cpus() as usize, pages as usize);
        self.pages.try_call_once(|| {
            let mut all = Vec::new();
            for _ in 0..1 + layout.cpus * layout.pages {
                let page = FrameRef::alloc_shared(self.machine, OWNER)?;
                fallible::push(&mut all, page).map_err(|_| OutOfFrames::Machine { order: 0 })?;
            }
            if let [info, rings @ ..] = &*all {
                layout.head().enumerate().for_each(|(i, half)| info.write(2 * i, &half.to_le_bytes()));
                // The frame table's numbers have 32 bits.
                let mfns = (layout.list(0)..).zip(rings.iter().map(|page| page.mfn().0 as u32));
                mfns.for_each(|(i, mfn)| info.store32(4 * i, mfn));
            }
            Ok(all)
        })?;
        Ok(())
    }

    /// Switches tracing on.
    pub fn enable(&self) {
        if !self.on.load(Relaxed) {
            self.rings.iter().for_each(Ring::forget_losses);
        }
        self.on.store(true, Relaxed);
    }

    /// The information page, if there are buffers.
    pub fn info(&self) -> Option<Mfn> {
        Some(self.pages.get()?.first()?.mfn())
    }

    /// One of the pages of information and buffers, for the control domain to map.
    ///
    /// # Errors
    /// It is not one.
    pub fn page(&self, Mfn(mfn): Mfn) -> Result<FrameRef<M>, MemoryFault> {
        let is_ours = self.machine.table().kind(Mfn(mfn)) == Some(FrameKind::Shared(OWNER));
        let page = is_ours.then(|| FrameRef::get(self.machine, Mfn(mfn))).flatten();
        page.ok_or(MemoryFault::NotMemory(Gfn(mfn).addr()))
    }

    /// A trace point: records an event and what `extra` says of it.
    #[inline]
    pub fn event<const N: usize>(&self, event: u32, extra: impl FnOnce() -> [u32; N]) {
        if self.on.load(Relaxed) {
            self.record(event, extra());
        }
    }

    /// The guest was left, and tracing is on.
    #[cold]
    pub fn exit(&self, guest: &M::Guest) {
        let rip = guest.gprs().rip;
        self.record(abi::HVM_VMEXIT64, [guest.exit_code() as u32, rip as u32, (rip >> 32) as u32]);
        if guest.exit() == Exit::Hypercall {
            self.record(abi::HVM_VMMCALL, [guest.gprs().get32(Gpr::Rax)]);
        }
    }

    #[cold]
    fn record<const N: usize>(&self, event: u32, extra: [u32; N]) {
        let (cpu, cpus) = (self.machine.this_cpu().index(), self.machine.cpus() as usize);
        if abi::is_wanted(self.events.load(Relaxed), event)
            && let (Some([_, pages @ ..]), Some(ring)) =
                (self.pages.get().map(Vec::as_slice), self.rings.get(cpu))
            && let Some(pages) = pages.chunks(pages.len() / cpus).nth(cpu)
        {
            ring.record(pages, event, self.machine.tsc().0, extra);
        }
    }
}

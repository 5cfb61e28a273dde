//! The FIFO ABI: event words in array pages that the guest gives, queues of them per vCPU and priority.
//!
//! A queue is a list through the LINK fields of its words. The guest consumes at the head, the hypervisor appends at
//! the tail, and the word's LINKED bit decides who is first: the guest clears LINKED and reads LINK in one step, so an
//! append that finds LINKED set in the tail word is seen, and one that finds it clear starts the queue anew at its
//! head. Appending is one atomic OR: it needs no retry, however fast the guest rewrites the word. If the tail turns
//! out to be consumed, the stray LINK bits go out again before that port can be linked anew, because linking needs
//! the domain's lock, and nobody follows the LINK of a word that is not linked.
//!
//! What a hostile guest writes into its words misleads only its own queues: words are never followed here, only
//! tails, which are kept on this side.

use alloc::vec::Vec;
use core::mem::offset_of;

use hypercall_abi::event_channel::{self as abi, FifoControlBlock};

use super::EvtchnError;
use super::bits::Raised;
use super::channel::{Channel, QueueId};
use crate::fallible;
use crate::frame::PAGE_SIZE;
use crate::ids::{Port, VcpuId};
use crate::page::GuestPage;

const PENDING: u32 = 1 << abi::FIFO_PENDING;
const MASKED: u32 = 1 << abi::FIFO_MASKED;
const LINKED: u32 = 1 << abi::FIFO_LINKED;
const LINK_MASK: u32 = abi::FIFO_LINK_MASK;

/// One past the highest port of the FIFO ABI.
pub const PORTS: u32 = abi::FIFO_NR_CHANNELS;
/// Priorities, and queues of a vCPU.
const QUEUES: usize = abi::FIFO_MAX_QUEUES as usize;
/// Event words in an array page.
const WORDS_PER_PAGE: u32 = (PAGE_SIZE / 4) as u32;

const CONTROL_SIZE: usize = size_of::<FifoControlBlock>();
const READY: usize = offset_of!(FifoControlBlock, ready);
const HEADS: usize = offset_of!(FifoControlBlock, head);

/// A vCPU's control block, and where its queues end.
#[derive(Debug)]
struct Control<P> {
    page: P,
    offset: usize,
    /// The last port put in each queue. Port 0 is none.
    tails: [Port; QUEUES],
}

/// The FIFO state of a domain.
#[derive(Debug)]
pub(super) struct Fifo<P> {
    array: Vec<P>,
    controls: Vec<Option<Control<P>>>,
}

impl<P: GuestPage> Fifo<P> {
    pub fn new(vcpus: usize) -> Result<Self, EvtchnError> {
        Ok(Self { array: Vec::new(), controls: fallible::filled(vcpus, || None)? })
    }

    /// Whether a control block may lie at `offset` of a page.
    pub fn check_offset(offset: u32) -> Result<usize, EvtchnError> {
        let at = offset as usize;
        if at.is_multiple_of(8) && at <= PAGE_SIZE - CONTROL_SIZE {
            Ok(at)
        } else {
            Err(EvtchnError::BadOffset(offset))
        }
    }

    pub fn add_control(&mut self, vcpu: VcpuId, page: P, offset: usize) -> Result<(), EvtchnError> {
        let slot = self.controls.get_mut(vcpu.index()).ok_or(EvtchnError::NoVcpu(vcpu))?;
        if slot.is_some() {
            return Err(EvtchnError::ControlBound(vcpu));
        }
        *slot = Some(Control { page, offset, tails: [Port(0); QUEUES] });
        Ok(())
    }

    /// Adds the array's next page; returns the ports that have their words in it.
    pub fn add_array_page(&mut self, page: P) -> Result<core::ops::Range<u32>, EvtchnError> {
        let start = self.ports();
        if start == PORTS {
            return Err(EvtchnError::ArrayFull);
        }
        fallible::push(&mut self.array, page)?;
        Ok(start..start + WORDS_PER_PAGE)
    }

    /// Ports that have a word.
    fn ports(&self) -> u32 {
        self.array.len() as u32 * WORDS_PER_PAGE
    }

    fn word(&self, port: Port) -> Option<(&P, usize)> {
        let page = self.array.get((port.0 / WORDS_PER_PAGE) as usize)?;
        Some((page, (port.0 % WORDS_PER_PAGE) as usize * 4))
    }

    /// Sets PENDING, and queues the port if it is neither masked nor queued.
    pub fn set_pending(&mut self, port: Port, channel: &mut Channel) -> Raised {
        let Some((page, at)) = self.word(port) else {
            return Raised { edge: !core::mem::replace(&mut channel.early, true), notify: false };
        };
        let old = page.fetch_or32(at, PENDING);
        let notify = old & (MASKED | LINKED) == 0 && self.link(port, channel);
        Raised { edge: old & PENDING == 0, notify }
    }

    /// Clears MASKED; an event that came meanwhile is queued now.
    pub fn unmask(&mut self, port: Port, channel: &mut Channel) -> Raised {
        let Some((page, at)) = self.word(port) else { return Raised::NOTHING };
        let old = page.fetch_and32(at, !MASKED);
        let notify = old & (PENDING | LINKED) == PENDING && self.link(port, channel);
        Raised { edge: false, notify }
    }

    pub fn is_pending(&self, port: Port, channel: &Channel) -> bool {
        match self.word(port) {
            Some((page, at)) => page.load32(at) & PENDING != 0,
            None => channel.early,
        }
    }

    pub fn clear_pending(&self, port: Port) {
        if let Some((page, at)) = self.word(port) {
            page.fetch_and32(at, !PENDING);
        }
    }

    /// Puts a port whose word is not LINKED at the end of its queue; says whether the vCPU must look.
    fn link(&mut self, port: Port, channel: &mut Channel) -> bool {
        let to = QueueId { vcpu: channel.vcpu, priority: channel.priority };
        if self.tail(to).is_none() {
            // No control block yet: the event stays PENDING, and the next one, or an unmask, tries again.
            return false;
        }
        if let Some(from) = channel.queue
            && from != to
            && let Some(tail) = self.tail(from)
            && *tail == port
        {
            // The old queue ended here and is consumed. Appending to it would now corrupt the new one.
            *tail = Port(0);
        }
        channel.queue = Some(to);
        if let Some((page, at)) = self.word(port) {
            page.fetch_or32(at, LINKED);
        }
        let Some(tail) = self.tail(to) else { return false };
        let last = core::mem::replace(tail, port);
        // `last == port` means that the queue's only entry was consumed: its LINKED is the one set just now.
        if last != port && last != Port(0) && self.append(last, port) {
            return false;
        }
        self.start(to, port)
    }

    /// Makes `port` follow `last`, unless the guest has consumed `last`.
    fn append(&self, last: Port, port: Port) -> bool {
        let Some((page, at)) = self.word(last) else { return false };
        let linked = page.fetch_or32(at, port.0 & LINK_MASK) & LINKED != 0;
        if !linked {
            page.fetch_and32(at, !LINK_MASK);
        }
        linked
    }

    /// Makes `port` the head of an empty queue; says whether its ready bit was clear.
    fn start(&self, queue: QueueId, port: Port) -> bool {
        let Some(Some(control)) = self.controls.get(queue.vcpu.index()) else { return false };
        control.page.store32(control.offset + HEADS + 4 * usize::from(queue.priority), port.0);
        let ready = 1 << queue.priority;
        control.page.fetch_or32(control.offset + READY, ready) & ready == 0
    }

    fn tail(&mut self, queue: QueueId) -> Option<&mut Port> {
        self.controls.get_mut(queue.vcpu.index())?.as_mut()?.tails.get_mut(usize::from(queue.priority))
    }
}

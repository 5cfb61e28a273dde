//! The buddy allocator over the frame slots.
//!
//! Free runs of `1 << order` frames, naturally aligned, hang on one doubly linked list per order; the links live
//! in the slots of the runs' first frames. Frames below 4 GiB have lists of their own, so that devices and
//! trampolines that need low memory find some: others take from there only when nothing else is left.
//!
//! Invariant: a slot is `Free { heads: Some(order) }` exactly while it is on list `order` of its zone.

use core::sync::atomic::Ordering::Relaxed;

use super::slot::{FrameKind, FrameSlot};
use crate::frame::Mfn;

/// The largest run is `1 << MAX_ORDER` frames: 1 GiB.
pub const MAX_ORDER: u32 = 18;

const NIL: u32 = u32::MAX;
const LOW_END: u64 = 1 << 20;

/// Where an allocation may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Anywhere; above 4 GiB first.
    Any,
    /// Below 4 GiB only.
    Low,
}

/// The first frame of the first run of each order.
type Heads = [u32; MAX_ORDER as usize + 1];

/// The free lists. The slots are passed in by the [`FrameTable`](super::FrameTable) that owns both.
#[derive(Debug)]
pub struct Buddy {
    low: Heads,
    high: Heads,
    free: u64,
}

impl Default for Buddy {
    fn default() -> Self {
        let empty = [NIL; MAX_ORDER as usize + 1];
        Self { low: empty, high: empty, free: 0 }
    }
}

impl Buddy {
    /// Frames on the lists.
    pub fn free_frames(&self) -> u64 {
        self.free
    }

    /// Adds a range of frames in the largest runs that fit.
    pub fn add(&mut self, slots: &[FrameSlot], start: Mfn, count: u64) {
        let end = (start.0.saturating_add(count)).min(slots.len() as u64).min(u64::from(NIL));
        let mut at = start.0;
        while at < end {
            let mut order = MAX_ORDER.min(at.trailing_zeros());
            while at + (1 << order) > end {
                order -= 1;
            }
            self.free(slots, Mfn(at), order);
            at += 1 << order;
        }
    }

    /// Takes a naturally aligned run of `1 << order` frames. Its slots still say free: the caller sets them.
    pub fn alloc(&mut self, slots: &[FrameSlot], order: u32, zone: Zone) -> Option<Mfn> {
        if order > MAX_ORDER {
            return None;
        }
        let lists: &[bool] = match zone {
            Zone::Any => &[false, true],
            Zone::Low => &[true],
        };
        for &low in lists {
            if let Some((head, from)) = self.choose(low, order) {
                // The upper end of the run: what is below stays in one piece.
                let at = u64::from(head) + (1 << from) - (1 << order);
                self.unlink(slots, head, from);
                self.split(slots, u64::from(head), from, at, order);
                self.free -= 1 << order;
                return Some(Mfn(at));
            }
        }
        None
    }

    /// A run to take `1 << order` frames from: the highest at the head of a list. So what is in use gathers at the top,
    /// and the bottom, where domain 0's kernel is linked to, stays free for it.
    fn choose(&mut self, low: bool, order: u32) -> Option<(u32, u32)> {
        let heads = self.heads(low);
        let fits = (order..=MAX_ORDER).map(|from| (heads[from as usize], from)).filter(|(h, _)| *h != NIL);
        fits.max_by_key(|(head, _)| *head)
    }

    /// Takes that very run, if all of it is free.
    pub fn alloc_at(&mut self, slots: &[FrameSlot], mfn: Mfn, order: u32) -> bool {
        if order > MAX_ORDER || !mfn.is_aligned(order) {
            return false;
        }
        for from in order..=MAX_ORDER {
            let head = mfn.0 & !((1 << from) - 1);
            if is_free(slots, head, from) {
                self.unlink(slots, head as u32, from);
                self.split(slots, head, from, mfn.0, order);
                self.free -= 1 << order;
                return true;
            }
        }
        false
    }

    /// Returns a run, merging it with its free buddies.
    pub fn free(&mut self, slots: &[FrameSlot], mfn: Mfn, order: u32) {
        let run = mfn.0 as usize..(mfn.0 + (1 << order)) as usize;
        let Some(run) = slots.get(run) else { return };
        for slot in run {
            slot.set(FrameKind::Free { heads: None });
        }
        self.free += 1 << order;
        let (mut at, mut order) = (mfn.0, order);
        while order < MAX_ORDER {
            let buddy = at ^ (1 << order);
            if !is_free(slots, buddy, order) {
                break;
            }
            self.unlink(slots, buddy as u32, order);
            at &= !(1 << order);
            order += 1;
        }
        self.link(slots, at as u32, order);
    }

    /// Cuts the unlinked run `head`/`from` down to `want`/`order`, putting the rest back on the lists.
    fn split(&mut self, slots: &[FrameSlot], mut head: u64, from: u32, want: u64, order: u32) {
        for half in (order..from).rev() {
            let upper = head + (1 << half);
            if want >= upper {
                self.link(slots, head as u32, half);
                head = upper;
            } else {
                self.link(slots, upper as u32, half);
            }
        }
    }

    fn heads(&mut self, low: bool) -> &mut Heads {
        if low { &mut self.low } else { &mut self.high }
    }

    fn link(&mut self, slots: &[FrameSlot], head: u32, order: u32) {
        let first = &mut self.heads(u64::from(head) < LOW_END)[order as usize];
        let next = core::mem::replace(first, head);
        if let Some(slot) = slots.get(head as usize) {
            slot.set(FrameKind::Free { heads: Some(order as u8) });
            slot.prev.store(NIL, Relaxed);
            slot.next.store(next, Relaxed);
        }
        if let Some(next) = slots.get(next as usize) {
            next.prev.store(head, Relaxed);
        }
    }

    fn unlink(&mut self, slots: &[FrameSlot], head: u32, order: u32) {
        let Some(slot) = slots.get(head as usize) else { return };
        let (prev, next) = (slot.prev.load(Relaxed), slot.next.load(Relaxed));
        match slots.get(prev as usize) {
            Some(prev) => prev.next.store(next, Relaxed),
            None => self.heads(u64::from(head) < LOW_END)[order as usize] = next,
        }
        if let Some(next) = slots.get(next as usize) {
            next.prev.store(prev, Relaxed);
        }
        slot.set(FrameKind::Free { heads: None });
    }
}

/// Whether a free run of that order starts at a frame.
fn is_free(slots: &[FrameSlot], head: u64, order: u32) -> bool {
    let kind = FrameKind::Free { heads: Some(order as u8) };
    slots.get(head as usize).is_some_and(|slot| slot.kind() == kind)
}

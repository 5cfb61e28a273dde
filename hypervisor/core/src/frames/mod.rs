//! Who owns each machine frame, and who still holds it.
//!
//! One 16-byte [`FrameSlot`] per frame of the machine. A frame is in exactly one state:
//!
//! - *reserved*: not RAM, or the firmware's. Never handed out.
//! - *free*: on a list of the [buddy allocator](buddy).
//! - *hypervisor*: Tenon's own (heap, page tables, stacks).
//! - *domain RAM*: owned by a domain and counted against its limit.
//! - *shared*: Tenon's, but made to be mapped by one domain (shared info, grant frames). Not counted.
//!
//! The last two are reference-counted. The holder of a [`FrameRef`] keeps the frame; the last one to let go
//! returns it to the allocator. A p2m entry of type RAM is such a holder, so unmapping and freeing cannot race
//! with a copy that still runs.
//!
//! Locks: the state word is atomic and needs none; the allocator's lock is a leaf (nothing is taken under it).

pub mod buddy;
mod claims;
mod reference;
mod slot;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::fallible;
use crate::frame::Mfn;
use crate::ids::DomId;
use crate::refusals;
use crate::sync::{Class, Lock};

use claims::Claims;

pub use buddy::{Buddy, MAX_ORDER, Zone};
pub use reference::{BorrowedFrame, FrameRef, Frames};
pub use slot::{FrameKind, FrameSlot};

/// The free frames, and how many of them are set aside.
#[derive(Debug, Default)]
struct Free {
    buddy: Buddy,
    claims: Claims,
}

impl Free {
    /// Takes `1 << order` frames as `get` does, if `domain` may have so many.
    fn take<T>(
        &mut self,
        domain: DomId,
        order: u32,
        get: impl FnOnce(&mut Buddy) -> Option<T>,
    ) -> Result<T, OutOfFrames> {
        let set_aside = self.claims.total() - self.claims.of(domain);
        if set_aside > 0 && self.buddy.free_frames() < set_aside + (1 << order) {
            return Err(OutOfFrames::SetAside { frames: set_aside });
        }
        let got = get(&mut self.buddy).ok_or(OutOfFrames::Machine { order })?;
        self.claims.spend(domain, 1 << order);
        Ok(got)
    }
}

/// The state of every frame of the machine, and the allocator of the free ones.
///
/// Lives as long as the hypervisor.
#[derive(Debug)]
pub struct FrameTable {
    slots: &'static [FrameSlot],
    free: Lock<Free>,
    /// RAM frames that each domain owns, indexed by domain id. A domain's id is free again only at zero.
    owned: Box<[[AtomicU32; 256]]>,
}

refusals! {
    /// Why frames were refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum OutOfFrames {
        /// The machine has no free run of that size (log2 of the frames).
        Machine { order: u32 } => ENOMEM, "the machine has no free run of {} KiB", 4u64 << order;
        /// What is free is claimed by domains that are being built.
        SetAside { frames: u64 } => ENOMEM, "{} KiB of the free memory are set aside for others", frames * 4;
        /// There is not so much to be claimed.
        NoClaim { wanted: u64, free: u64 }
            => ENOMEM, "a claim of {} KiB: {} KiB are free and not set aside for others", wanted * 4, free * 4;
        /// No hypervisor memory to note a claim.
        NoHeap => ENOMEM, "no hypervisor memory left for a claim";
        /// The domain is at its `max_mem`, in frames.
        DomainLimit { domain: DomId, max: u32 }
            => ENOMEM, "{domain} is at its memory limit of {} KiB (max_mem)", u64::from(*max) * 4;
    }
}

impl FrameTable {
    /// Takes over the slots of all frames, every one of which is in state reserved. `None` without heap.
    pub fn new(slots: &'static [FrameSlot]) -> Option<Self> {
        // By blocks, each of which is copied as a whole: Miri takes seconds for one counter after the other.
        // In a model there are few domains.
        let blocks = if cfg!(loom) { 1 } else { usize::from(DomId::FIRST_RESERVED.0).div_ceil(256) };
        let owned = fallible::filled(blocks, || [const { AtomicU32::new(0) }; 256]).ok()?;
        let free = Lock::new(Class::Frames, Free::default());
        Some(Self { slots, free, owned: owned.into_boxed_slice() })
    }

    /// One past the highest frame number that has a slot.
    pub fn end(&self) -> Mfn {
        Mfn(self.slots.len() as u64)
    }

    /// Sets free frames aside, so that `domain` can have `frames` in all; 0 ends that (`XENMEM_claim_pages`). What it has
    /// already counts.
    ///
    /// # Errors
    /// [`OutOfFrames::NoClaim`], [`OutOfFrames::NoHeap`]; then the domain has no claim.
    pub fn set_claim(&self, domain: DomId, frames: u64) -> Result<(), OutOfFrames> {
        let mut pool = self.free.lock();
        let wanted = frames.saturating_sub(self.owned_by(domain).into());
        let no_heap = |_| OutOfFrames::NoHeap;
        pool.claims.set(domain, 0).map_err(no_heap)?;
        let free = pool.buddy.free_frames().saturating_sub(pool.claims.total());
        if wanted > free {
            return Err(OutOfFrames::NoClaim { wanted, free });
        }
        pool.claims.set(domain, wanted).map_err(no_heap)
    }

    /// Free frames that are set aside for a domain, or for all together.
    pub fn claimed(&self, domain: Option<DomId>) -> u64 {
        let pool = self.free.lock();
        domain.map_or_else(|| pool.claims.total(), |domain| pool.claims.of(domain))
    }

    /// Gives a range of reserved frames, all RAM, to the allocator.
    pub fn add_free(&self, start: Mfn, count: u64) {
        self.free.lock().buddy.add(self.slots, start, count);
    }

    /// Frames free now.
    pub fn free_frames(&self) -> u64 {
        self.free.lock().buddy.free_frames()
    }

    /// RAM frames that `domain` owns.
    pub fn owned_by(&self, domain: DomId) -> u32 {
        self.owned.as_flattened().get(usize::from(domain.0)).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// What the frame is now; `None` if it is beyond the machine's RAM.
    pub fn kind(&self, mfn: Mfn) -> Option<FrameKind> {
        Some(self.slot(mfn)?.kind())
    }

    /// Allocates `1 << order` frames for Tenon itself. The contents are what was there.
    pub fn alloc_hypervisor(&self, order: u32, zone: Zone) -> Result<Mfn, OutOfFrames> {
        self.alloc(order, zone, FrameKind::Hypervisor)
    }

    /// Returns what [`alloc_hypervisor`](Self::alloc_hypervisor) gave.
    pub fn free_hypervisor(&self, mfn: Mfn, order: u32) {
        debug_assert_eq!(self.kind(mfn), Some(FrameKind::Hypervisor));
        self.free.lock().buddy.free(self.slots, mfn, order);
    }

    /// Allocates `1 << order` RAM frames for `domain`, each with one reference, which the caller now owes.
    ///
    /// `max` is the domain's limit in frames. The contents are what was there: scrub before the domain sees them.
    pub(crate) fn alloc_ram(&self, domain: DomId, order: u32, max: u32) -> Result<Mfn, OutOfFrames> {
        self.charge(domain, 1 << order, max)?;
        let got = self.free.lock().take(domain, order, |buddy| buddy.alloc(self.slots, order, Zone::Any));
        let mfn = got.inspect_err(|_| self.uncharge(domain, 1 << order))?;
        self.set_run(mfn, order, FrameKind::Ram(domain));
        Ok(mfn)
    }

    /// As [`alloc_ram`](Self::alloc_ram), but those very frames. Fails if any of them is not free.
    pub(crate) fn claim_ram(&self, domain: DomId, mfn: Mfn, order: u32, max: u32) -> Result<(), OutOfFrames> {
        self.charge(domain, 1 << order, max)?;
        let at = |buddy: &mut Buddy| buddy.alloc_at(self.slots, mfn, order).then_some(());
        let got = self.free.lock().take(domain, order, at);
        got.inspect_err(|_| self.uncharge(domain, 1 << order))?;
        self.set_run(mfn, order, FrameKind::Ram(domain));
        Ok(())
    }

    /// Allocates one frame of Tenon's that `domain` may map.
    pub(crate) fn alloc_shared(&self, domain: DomId) -> Result<Mfn, OutOfFrames> {
        self.alloc(0, Zone::Any, FrameKind::Shared(domain))
    }

    /// Adds a reference, if the frame is one that has any.
    pub(crate) fn get(&self, mfn: Mfn) -> bool {
        self.slot(mfn).is_some_and(FrameSlot::try_get)
    }

    /// Drops a reference; the last one frees the frame.
    pub(crate) fn put(&self, mfn: Mfn) {
        let Some(slot) = self.slot(mfn) else { return };
        if let Some(last) = slot.put() {
            if let FrameKind::Ram(owner) = last {
                self.uncharge(owner, 1);
            }
            self.free.lock().buddy.free(self.slots, mfn, 0);
        }
    }

    fn slot(&self, mfn: Mfn) -> Option<&'static FrameSlot> {
        self.slots.get(usize::try_from(mfn.0).ok()?)
    }

    fn alloc(&self, order: u32, zone: Zone, kind: FrameKind) -> Result<Mfn, OutOfFrames> {
        let mfn =
            self.free.lock().buddy.alloc(self.slots, order, zone).ok_or(OutOfFrames::Machine { order })?;
        self.set_run(mfn, order, kind);
        Ok(mfn)
    }

    fn set_run(&self, mfn: Mfn, order: u32, kind: FrameKind) {
        let start = mfn.0 as usize;
        if let Some(run) = self.slots.get(start..start + (1 << order)) {
            run.iter().for_each(|slot| slot.set(kind));
        }
    }

    fn charge(&self, domain: DomId, frames: u32, max: u32) -> Result<(), OutOfFrames> {
        let refused = OutOfFrames::DomainLimit { domain, max };
        let count = self.owned.as_flattened().get(usize::from(domain.0)).ok_or(refused)?;
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                n.checked_add(frames).filter(|sum| *sum <= max)
            })
            .map(|_| ())
            .map_err(|_| refused)
    }

    fn uncharge(&self, domain: DomId, frames: u32) {
        if let Some(count) = self.owned.as_flattened().get(usize::from(domain.0)) {
            let before = count.fetch_sub(frames, Ordering::Relaxed);
            debug_assert!(before >= frames, "{domain} gave back more than it had");
        }
    }
}

#[cfg(test)]
mod tests;

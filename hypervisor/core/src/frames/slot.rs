//! The state word of one frame.
//!
//! Layout of the word: bits 0-31 reference count, 32-47 owner, 48-55 kind. The kinds with a count are live only
//! while it is above zero: [`FrameSlot::try_get`] never revives a frame that is being freed.
//!
//! The second word belongs to the buddy allocator and is only touched under its lock.

use crate::ids::DomId;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Not RAM, or never given to the allocator.
    Reserved,
    /// In the allocator; `order` is that of the run it heads, if it heads one.
    Free {
        /// log2 of the run's length, where this is the run's first frame.
        heads: Option<u8>,
    },
    /// Tenon's own.
    Hypervisor,
    /// RAM of a domain.
    Ram(DomId),
    /// Tenon's, for one domain to map.
    Shared(DomId),
}

const RESERVED: u64 = 0;
const FREE: u64 = 1;
const FREE_HEAD: u64 = 2;
const HYPERVISOR: u64 = 3;
const RAM: u64 = 4;
const SHARED: u64 = 5;

const KIND_SHIFT: u32 = 48;
const OWNER_SHIFT: u32 = 32;
const COUNT_MASK: u64 = 0xffff_ffff;
/// A count that got here stays here and the frame is never freed: leaking is the safe side of overflowing.
const COUNT_MAX: u64 = 0x7fff_ffff;

/// The book-keeping of one frame. All zero means reserved.
#[derive(Debug, Default)]
#[repr(C)]
pub struct FrameSlot {
    state: AtomicU64,
    pub(super) prev: AtomicU32,
    pub(super) next: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<FrameSlot>() == 16);

impl FrameSlot {
    pub(super) fn kind(&self) -> FrameKind {
        Self::decode(self.state.load(Ordering::Acquire))
    }

    fn decode(word: u64) -> FrameKind {
        let owner = DomId((word >> OWNER_SHIFT) as u16);
        match word >> KIND_SHIFT {
            FREE => FrameKind::Free { heads: None },
            FREE_HEAD => FrameKind::Free { heads: Some(word as u8) },
            HYPERVISOR => FrameKind::Hypervisor,
            RAM => FrameKind::Ram(owner),
            SHARED => FrameKind::Shared(owner),
            _ => FrameKind::Reserved,
        }
    }

    /// Sets the kind; a counted kind starts with one reference.
    pub(super) fn set(&self, kind: FrameKind) {
        let word = match kind {
            FrameKind::Reserved => RESERVED << KIND_SHIFT,
            FrameKind::Free { heads: None } => FREE << KIND_SHIFT,
            FrameKind::Free { heads: Some(order) } => FREE_HEAD << KIND_SHIFT | u64::from(order),
            FrameKind::Hypervisor => HYPERVISOR << KIND_SHIFT,
            FrameKind::Ram(owner) => RAM << KIND_SHIFT | u64::from(owner.0) << OWNER_SHIFT | 1,
            FrameKind::Shared(owner) => SHARED << KIND_SHIFT | u64::from(owner.0) << OWNER_SHIFT | 1,
        };
        self.state.store(word, Ordering::Release);
    }

    /// Adds a reference unless the frame has none to share (wrong kind, or being freed).
    pub(super) fn try_get(&self) -> bool {
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let counted = matches!(word >> KIND_SHIFT, RAM | SHARED);
                let count = word & COUNT_MASK;
                (counted && count > 0).then_some(if count < COUNT_MAX { word + 1 } else { word })
            })
            .is_ok()
    }

    /// Drops a reference. `Some(kind)` if it was the last: the caller now owns the dead frame and frees it.
    pub(super) fn put(&self) -> Option<FrameKind> {
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let count = word & COUNT_MASK;
            debug_assert!(count > 0, "reference dropped twice");
            (count > 0 && count < COUNT_MAX).then(|| word - 1)
        });
        before.ok().filter(|word| word & COUNT_MASK == 1).map(Self::decode)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// The last reference goes while somebody tries to get one: one of the two frees the frame.
    #[test]
    fn a_frame_is_freed_once() {
        loom::model(|| {
            let slot = Arc::new(FrameSlot::default());
            slot.set(FrameKind::Ram(DomId(1)));
            let other = slot.clone();
            let other = thread::spawn(move || other.try_get() && other.put().is_some());
            let freed = slot.put().is_some();
            assert!(freed != other.join().unwrap());
        });
    }
}

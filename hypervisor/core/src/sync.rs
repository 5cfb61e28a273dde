//! Locks, and the atomics of what does without.
//!
//! The hypervisor runs with interrupts off and takes them only at one place, where no lock is held (see the
//! kernel's `irq` module). So no lock saves an interrupt flag, and no handler meets a lock that its own CPU holds.
//! The order in which locks may be taken is in `docs/src/internals/locks.md`; builds with debug assertions check it
//! whenever one is taken.
//!
//! Models of what happens at once get locks and atomics from here, too, and then they are loom's.

mod order;
#[cfg(loom)]
#[path = "sync/tests/loom.rs"]
mod raw;
#[cfg(all(test, not(loom)))]
mod tests;

use core::ops::{Deref, DerefMut};
#[cfg(not(loom))]
pub use core::{hint::spin_loop, sync::atomic};
#[cfg(loom)]
pub use loom::{hint::spin_loop, sync::atomic};
#[cfg(not(loom))]
use spin as raw;

pub use order::{Class, check_on};
use order::{Held, Rank};

/// A mutual-exclusion spin lock.
#[derive(Debug)]
pub struct Lock<T> {
    rank: Rank,
    /// The lock itself, for a panic to break.
    pub raw: raw::Mutex<T>,
}

/// Many readers or one writer, spinning.
#[derive(Debug)]
pub struct RwLock<T> {
    rank: Rank,
    raw: raw::RwLock<T>,
}

/// What holds a lock, and its place in this CPU's list.
pub struct Guard<G>(#[allow(dead_code, reason = "for what its drop does")] Held, G);
/// What holds a [`Lock`].
pub type LockGuard<'a, T> = Guard<raw::MutexGuard<'a, T>>;
/// What a reader of an [`RwLock`] holds.
pub type RwLockReadGuard<'a, T> = Guard<raw::RwLockReadGuard<'a, T>>;

impl<T> Lock<T> {
    /// A lock with its place in the order.
    pub const fn new(class: Class, value: T) -> Self {
        Self { rank: Rank::of(class), raw: raw::Mutex::new(value) }
    }

    /// Waits for the lock.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> LockGuard<'_, T> {
        Guard(self.rank.take(), self.raw.lock())
    }

    /// Waits for the lock at another place in the order: what it protects plays another part here.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_as(&self, class: Class) -> LockGuard<'_, T> {
        Guard(Rank::of(class).take(), self.raw.lock())
    }

    /// Takes the lock if it is free. In any order: this waits for nobody.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        let guard = self.raw.try_lock()?;
        Some(Guard(self.rank.note(), guard))
    }
}

impl<T> RwLock<T> {
    /// A lock with its place in the order.
    pub const fn new(class: Class, value: T) -> Self {
        Self { rank: Rank::of(class), raw: raw::RwLock::new(value) }
    }

    /// Waits until nobody writes.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        Guard(self.rank.take(), self.raw.read())
    }

    /// Waits until nobody else reads or writes.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> Guard<raw::RwLockWriteGuard<'_, T>> {
        Guard(self.rank.take(), self.raw.write())
    }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.1
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.1
    }
}

//! Locks.
//!
//! The hypervisor runs with interrupts off and takes them only at one place, where no lock is held (see the
//! kernel's `irq` module). So no lock saves an interrupt flag, and no handler meets a lock that its own CPU holds.
//! The order in which locks may be taken is in `docs/src/internals/locks.md`.

/// A mutual-exclusion spin lock.
pub type Lock<T> = spin::mutex::SpinMutex<T>;
/// What a reader of an [`RwLock`] holds.
pub type RwLockReadGuard<'a, T> = spin::rwlock::RwLockReadGuard<'a, T>;
/// Many readers or one writer, spinning.
pub type RwLock<T> = spin::rwlock::RwLock<T>;
/// What holds a [`Lock`].
pub type LockGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

//! Loom's locks with the interface of the real ones.

use std::sync::{Mutex as Start, OnceLock};

pub use loom::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// A lock of loom's, made when it is first taken: only then there is a model to make it in.
#[derive(Debug)]
struct Late<T, L> {
    start: Start<Option<T>>,
    lock: OnceLock<L>,
}

impl<T, L> Late<T, L> {
    const fn new(value: T) -> Self {
        Self { start: Start::new(Some(value)), lock: OnceLock::new() }
    }

    fn get(&self, make: impl FnOnce(T) -> L) -> &L {
        self.lock.get_or_init(|| make(self.start.lock().unwrap().take().unwrap()))
    }
}

#[derive(Debug)]
pub struct Mutex<T>(Late<T, loom::sync::Mutex<T>>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(Late::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.get(loom::sync::Mutex::new).lock().unwrap()
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.get(loom::sync::Mutex::new).try_lock().ok()
    }
}

#[derive(Debug)]
pub struct RwLock<T>(Late<T, loom::sync::RwLock<T>>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        Self(Late::new(value))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.get(loom::sync::RwLock::new).read().unwrap()
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.get(loom::sync::RwLock::new).write().unwrap()
    }
}

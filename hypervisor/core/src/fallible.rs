//! Allocation that can say no.
//!
//! Everything whose size or number a guest influences is allocated here, so that a full heap is an error of one
//! hypercall and not the end of the machine. Tests make the n-th allocation fail (`fail_after`).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The heap could not give the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Makes room for `more` further elements.
///
/// # Errors
/// [`NoMemory`] if the heap is full; the vector is unchanged.
pub fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), NoMemory> {
    #[cfg(test)]
    injected()?;
    vec.try_reserve(more).map_err(|_| NoMemory)
}

/// Makes room for `more` further elements of a queue.
///
/// # Errors
/// [`NoMemory`] if the heap is full; the queue is unchanged.
pub fn reserve_queue<T>(queue: &mut VecDeque<T>, more: usize) -> Result<(), NoMemory> {
    #[cfg(test)]
    injected()?;
    queue.try_reserve(more).map_err(|_| NoMemory)
}

/// Appends an element.
///
/// # Errors
/// [`NoMemory`] if the heap is full; the vector is unchanged and the element dropped.
pub fn push<T>(vec: &mut Vec<T>, value: T) -> Result<(), NoMemory> {
    if vec.len() == vec.capacity() {
        reserve(vec, 1)?;
    }
    vec.push(value);
    Ok(())
}

/// A vector of `n` elements made by `make`, with no spare room.
///
/// # Errors
/// [`NoMemory`] if the heap is full.
pub fn filled<T>(n: usize, make: impl FnMut() -> T) -> Result<Vec<T>, NoMemory> {
    #[cfg(test)]
    injected()?;
    let mut vec = Vec::new();
    vec.try_reserve_exact(n).map_err(|_| NoMemory)?;
    vec.resize_with(n, make);
    Ok(vec)
}

#[cfg(test)]
pub(crate) use inject::fail_after;
#[cfg(test)]
use inject::injected;

#[cfg(test)]
mod inject {
    use super::NoMemory;
    use core::cell::Cell;

    std::thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// Lets `n` more allocations of this thread succeed and every later one fail; `None` ends that.
    pub(crate) fn fail_after(n: Option<u32>) {
        LEFT.set(n);
    }

    pub(super) fn injected() -> Result<(), NoMemory> {
        match LEFT.get() {
            Some(0) => Err(NoMemory),
            Some(n) => {
                LEFT.set(Some(n - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

//! Pages of nested page tables.
#![allow(unsafe_code, reason = "reads and writes table entries")]

use core::sync::atomic::{AtomicU64, Ordering};

use tenon_core::frame::Mfn;
use tenon_core::p2m::{ENTRIES, TableMemory};

use crate::mm::{direct, phys};

/// Table pages from the frame table.
#[derive(Clone, Copy, Debug)]
pub struct HostTables;

impl HostTables {
    #[inline]
    fn entry(table: Mfn, index: usize) -> &'static AtomicU64 {
        let at = direct::pointer(table.addr()).cast::<u64>().wrapping_add(index % ENTRIES);
        // SAFETY: the walker passes only tables that `alloc` gave it and that it has not freed: frames of Tenon's in
        // the direct map, used for nothing but entries. The hardware reads and sets bits in them concurrently.
        unsafe { AtomicU64::from_ptr(at) }
    }
}

impl TableMemory for HostTables {
    #[inline]
    fn read(&self, table: Mfn, index: usize) -> u64 {
        Self::entry(table, index).load(Ordering::Acquire)
    }

    #[inline]
    fn write(&self, table: Mfn, index: usize, value: u64) {
        Self::entry(table, index).store(value, Ordering::Release);
    }

    fn alloc(&self) -> Option<Mfn> {
        phys::alloc_zeroed()
    }

    fn free(&self, table: Mfn) {
        // SAFETY: the walker gives back only what `alloc` gave, once nothing can reach it.
        unsafe { phys::free(table, 0) };
    }
}

//! Pages of nested page tables, and of what else IOMMUs read.
#![allow(unsafe_code, reason = "reads and writes table entries")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use tenon_core::frame::Mfn;
use tenon_core::p2m::{ENTRIES, TableMemory};

use crate::mm::{direct, phys};

/// Entries in a line of the CPUs' caches.
const ENTRIES_PER_LINE: usize = 8;

/// Table pages from the frame table.
#[derive(Clone, Copy, Debug)]
pub struct HostTables {
    /// Whether who reads them sees what is in the CPUs' caches, as CPUs do; otherwise each entry is written through.
    pub snooped: bool,
}

impl HostTables {
    #[inline]
    fn entry(table: Mfn, index: usize) -> &'static AtomicU64 {
        let at = direct::pointer(table.addr()).cast::<u64>().wrapping_add(index % ENTRIES);
        // SAFETY: the walker passes only tables that `alloc` gave it and that it has not freed, the IOMMUs' drivers only
        // what they keep for good: frames of Tenon's in the direct map, used for nothing but entries. The hardware reads
        // and writes them concurrently.
        unsafe { AtomicU64::from_ptr(at) }
    }

    fn write_through(table: Mfn, index: usize) {
        let at = Self::entry(table, index).as_ptr();
        // SAFETY: CLFLUSH, which every x86-64 CPU has, changes no memory; the fence puts it before whatever follows.
        unsafe { asm!("clflush [{}]", "mfence", in(reg) at, options(nostack, preserves_flags)) };
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
        if !self.snooped {
            Self::write_through(table, index);
        }
    }

    fn alloc(&self) -> Option<Mfn> {
        let table = phys::alloc_zeroed()?;
        if !self.snooped {
            (0..ENTRIES).step_by(ENTRIES_PER_LINE).for_each(|index| Self::write_through(table, index));
        }
        Some(table)
    }

    fn free(&self, table: Mfn) {
        // SAFETY: the walker gives back only what `alloc` gave, once nothing can reach it.
        unsafe { phys::free(table, 0) };
    }
}

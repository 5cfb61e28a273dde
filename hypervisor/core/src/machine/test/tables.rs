//! Table pages of a test machine.

use core::fmt;
use std::boxed::Box;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec;
use std::vec::Vec;

use crate::frame::Mfn;
use crate::p2m::{ENTRIES, TableMemory};

/// A handle to leaked tables. A table's number is never used again, so that a use after free is noticed.
#[derive(Clone, Copy)]
pub struct TestTables(&'static Mutex<Tables>);

#[derive(Default)]
struct Tables {
    pages: HashMap<Mfn, Vec<u64>>,
    made: u64,
    /// Allocations that still succeed; `None` for all.
    budget: Option<usize>,
}

impl TestTables {
    pub(super) fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// Tables in use.
    pub fn live(self) -> usize {
        self.lock().pages.len()
    }

    /// Has only so many more allocations succeed.
    pub fn allow(self, allocations: Option<usize>) {
        self.lock().budget = allocations;
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TestTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tables", self.live())
    }
}

impl TableMemory for TestTables {
    fn read(&self, table: Mfn, index: usize) -> u64 {
        self.lock().pages[&table][index]
    }

    fn write(&self, table: Mfn, index: usize, value: u64) {
        self.lock().pages.get_mut(&table).expect("a live table")[index] = value;
    }

    fn alloc(&self) -> Option<Mfn> {
        let mut tables = self.lock();
        if let Some(left) = &mut tables.budget {
            *left = left.checked_sub(1)?;
        }
        tables.made += 1;
        let table = Mfn(0xf_0000_0000 + tables.made);
        tables.pages.insert(table, vec![0; ENTRIES]);
        Some(table)
    }

    fn free(&self, table: Mfn) {
        self.lock().pages.remove(&table).expect("freed once");
    }
}

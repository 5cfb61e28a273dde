//! Table memory for tests: counts pages, fails on request, notices misuse.

use core::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use crate::frame::Mfn;
use crate::p2m::{ENTRIES, TableMemory};

/// Shared by its clones, so that a test looks at what the walker uses.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pages: Rc<RefCell<HashMap<Mfn, Vec<u64>>>>,
    next: Rc<Cell<u64>>,
    /// Allocations that still succeed; `None` for all.
    budget: Rc<Cell<Option<usize>>>,
}

impl Tables {
    pub fn live(&self) -> usize {
        self.pages.borrow().len()
    }

    pub fn allow(&self, allocations: Option<usize>) {
        self.budget.set(allocations);
    }
}

impl TableMemory for Tables {
    fn read(&self, table: Mfn, index: usize) -> u64 {
        self.pages.borrow()[&table][index]
    }

    fn write(&self, table: Mfn, index: usize, value: u64) {
        self.pages.borrow_mut().get_mut(&table).expect("a live table")[index] = value;
    }

    fn alloc(&self) -> Option<Mfn> {
        match self.budget.get() {
            Some(0) => return None,
            Some(left) => self.budget.set(Some(left - 1)),
            None => {}
        }
        // Never reused, so that a use after free is noticed.
        self.next.set(self.next.get() + 1);
        let table = Mfn(0xf_0000_0000 + self.next.get());
        self.pages.borrow_mut().insert(table, vec![0; ENTRIES]);
        Some(table)
    }

    fn free(&self, table: Mfn) {
        self.pages.borrow_mut().remove(&table).expect("freed once");
    }
}

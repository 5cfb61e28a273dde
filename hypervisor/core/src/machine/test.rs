//! A machine for host tests: some RAM, no CPUs.

use std::boxed::Box;
use std::vec::Vec;

use crate::frame::Mfn;
use crate::frames::{FrameRef, FrameSlot, FrameTable, Frames};
use crate::page::TestPage;

/// A handle to a leaked test machine.
#[derive(Clone, Copy)]
pub struct TestMachine(&'static State);

struct State {
    table: FrameTable,
    pages: Vec<TestPage>,
}

impl TestMachine {
    /// A machine with `frames` free frames of RAM.
    #[must_use]
    pub fn new(frames: usize) -> Self {
        let slots: Vec<FrameSlot> = (0..frames).map(|_| FrameSlot::default()).collect();
        let table = FrameTable::new(Box::leak(slots.into_boxed_slice())).expect("host heap");
        table.add_free(Mfn(0), frames as u64);
        let pages = (0..frames).map(|_| TestPage::default()).collect();
        Self(Box::leak(Box::new(State { table, pages })))
    }
}

impl Frames for TestMachine {
    type Page<'a> = TestPage;

    fn table(self) -> &'static FrameTable {
        &self.0.table
    }

    fn page(self, frame: &FrameRef<Self>) -> TestPage {
        self.0.pages[frame.mfn().0 as usize].clone()
    }
}

//! One CPU's ring of records, in pages that the control domain maps (`struct t_buf`, `public/trace.h`).
//!
//! Only the CPU writes to its ring, and takes no interrupt meanwhile. The reader says up to where it has read; that is a
//! claim, which decides only whether there is room. Where the next record goes is kept here.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use hypercall_abi::trace as abi;
use hypercall_abi::xen::DOMID_IDLE;

use crate::frame::PAGE_SIZE;
use crate::page::GuestPage;

/// What is kept of a ring. Its pages, at least one, come with every call.
pub struct Ring {
    /// Where the next record goes, as the reader is told.
    pub(super) prod: AtomicU32,
    /// Records for which there was no room, and the reader does not know it yet; when that began.
    lost: AtomicU32,
    lost_since: AtomicU64,
}

impl Ring {
    /// A ring in pages that are zero.
    pub const fn new() -> Self {
        Self { prod: AtomicU32::new(0), lost: AtomicU32::new(0), lost_since: AtomicU64::new(0) }
    }

    /// What was lost while nobody read is not told to the next reader.
    pub fn forget_losses(&self) {
        self.lost.store(0, Relaxed);
    }

    /// Adds a record, or counts it as lost; nothing comes between a loss and the record that tells of it.
    pub fn record<const N: usize>(&self, pages: &[impl GuestPage], event: u32, tsc: u64, extra: [u32; N]) {
        let (mut lost, since) = (self.lost.load(Relaxed), self.lost_since.load(Relaxed));
        // Who runs now is not looked up: the next change will tell.
        let loss = [lost, DOMID_IDLE.into(), since as u32, (since >> 32) as u32];
        if lost != 0 && self.insert(pages, abi::LOST_RECORDS, tsc, loss) {
            lost = 0;
        }
        if lost != 0 || !self.insert(pages, event, tsc, extra) {
            self.lost_since.store(if lost == 0 { tsc } else { since }, Relaxed);
            lost = lost.saturating_add(1);
        }
        self.lost.store(lost, Relaxed);
    }

    fn insert<const N: usize>(
        &self,
        pages: &[impl GuestPage],
        event: u32,
        tsc: u64,
        extra: [u32; N],
    ) -> bool {
        let ring = abi::Ring::of_pages(pages.len());
        let (size, prod) = (4 * (3 + N as u32), self.prod.load(Relaxed));
        let gap = ring.gap(prod, size);
        let end = ring.advance(prod, gap + size);
        let cons = pages.first().map_or(u32::MAX, |page| page.load32(offset_of!(abi::Buffer, cons)));
        if ring.unread(cons, end).is_none() {
            return false;
        }
        if gap != 0 {
            put(pages, ring.place(prod), [abi::Ring::filler(gap)]);
        }
        put(pages, ring.place(ring.advance(prod, gap)), abi::record(event, tsc, extra));
        self.prod.store(end, Relaxed);
        put(pages, offset_of!(abi::Buffer, prod), [end]);
        true
    }
}

/// Writes words, the first at byte `at` of the buffer.
fn put(pages: &[impl GuestPage], at: usize, words: impl IntoIterator<Item = u32>) {
    for (at, word) in (at..).step_by(4).zip(words) {
        if let Some(page) = pages.get(at / PAGE_SIZE) {
            page.store32(at % PAGE_SIZE, word);
        }
    }
}

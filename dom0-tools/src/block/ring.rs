//! A disk's ring (`public/io/ring.h`), from the serving side: one to sixteen pages that a guest shares and may write
//! anything to.
//!
//! The producer index of requests is the guest's claim: there can be no more requests than entries without an answer.
//! Everything else that is read from the ring is an entry, which is copied once. Our own indices live here.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use hypercall_abi::io::ring::{ENTRIES, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, entries, needs_notify};

use super::request::{ENTRY_MAX, Layout};
use crate::xen::mapping::SharedPage;

const PAGE: usize = 4096;

/// The guest claims more requests than the ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// How many.
    pub claimed: u32,
}

/// A ring.
#[derive(Debug)]
pub struct Ring<P: SharedPage> {
    pages: Vec<P>,
    layout: Layout,
    size: u32,
    /// The next request to be taken.
    req_cons: u32,
    /// The next response to be written.
    rsp_prod: u32,
    /// The responses that the guest has been told of.
    rsp_told: u32,
}

impl<P: SharedPage> Ring<P> {
    /// The ring in `pages`, at least one, of which no request was taken that is not answered.
    pub fn new(pages: Vec<P>, layout: Layout) -> Self {
        let size = entries(pages.len() * PAGE, layout.entry());
        let rsp_prod = pages[0].word(RSP_PROD).load(Ordering::Acquire);
        Self { pages, layout, size, req_cons: rsp_prod, rsp_prod, rsp_told: rsp_prod }
    }

    /// How many entries it has.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How the guest lays it out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    fn header(&self, offset: usize) -> &AtomicU32 {
        self.pages[0].word(offset)
    }

    /// Whether there are requests that were not taken.
    ///
    /// # Errors
    /// [`Overrun`]; the guest broke the ring.
    pub fn has_request(&self) -> Result<bool, Overrun> {
        let prod = self.header(REQ_PROD).load(Ordering::Acquire);
        let claimed = prod.wrapping_sub(self.rsp_prod);
        if claimed > self.size || claimed < self.req_cons.wrapping_sub(self.rsp_prod) {
            return Err(Overrun { claimed });
        }
        Ok(prod != self.req_cons)
    }

    /// The next request's index and bytes; it is not taken by this.
    ///
    /// # Errors
    /// [`Overrun`].
    pub fn peek(&self) -> Result<Option<(u32, [u8; ENTRY_MAX])>, Overrun> {
        if !self.has_request()? {
            return Ok(None);
        }
        let mut entry = [0; ENTRY_MAX];
        self.read(self.offset(self.req_cons), &mut entry[..self.layout.entry()]);
        Ok(Some((self.req_cons, entry)))
    }

    /// Takes the request that was looked at.
    pub fn take(&mut self) {
        self.skip(1);
    }

    /// Counts requests as taken.
    pub fn skip(&mut self, count: u32) {
        self.req_cons = self.req_cons.wrapping_add(count);
    }

    /// The index that the next response gets.
    pub fn next_response(&self) -> u32 {
        self.rsp_prod
    }

    /// Writes the next response; the guest does not see it before [`Ring::push`].
    pub fn respond(&mut self, id: u64, operation: u8, status: i16) {
        let offset = self.offset(self.rsp_prod);
        let response = self.layout.response(id, operation, status);
        self.write(offset, &response);
        self.rsp_prod = self.rsp_prod.wrapping_add(1);
    }

    /// Shows the guest all responses. Returns whether it wants to be notified.
    pub fn push(&mut self) -> bool {
        let old = std::mem::replace(&mut self.rsp_told, self.rsp_prod);
        if old == self.rsp_prod {
            return false;
        }
        self.header(RSP_PROD).store(self.rsp_prod, Ordering::Release);
        fence(Ordering::SeqCst);
        needs_notify(old, self.rsp_prod, self.header(RSP_EVENT).load(Ordering::Relaxed))
    }

    /// Asks to be notified of the next request. Returns whether one came meanwhile.
    ///
    /// # Errors
    /// [`Overrun`].
    pub fn arm(&self) -> Result<bool, Overrun> {
        self.header(REQ_EVENT).store(self.req_cons.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.has_request()
    }

    fn offset(&self, index: u32) -> usize {
        ENTRIES + (index & (self.size - 1)) as usize * self.layout.entry()
    }

    /// The pages that `len` bytes from `offset` on are in: each with the offset in it and the range of the bytes.
    fn spans(&self, offset: usize, len: usize) -> impl Iterator<Item = (&P, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = offset + done;
            let count = (len - done).min(PAGE - at % PAGE);
            let range = done..done + count;
            done += count;
            (count > 0).then(|| (&self.pages[at / PAGE], at % PAGE, range))
        })
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        for (page, at, range) in self.spans(offset, bytes.len()) {
            page.read(at, &mut bytes[range]);
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (page, at, range) in self.spans(offset, bytes.len()) {
            page.write(at, &bytes[range]);
        }
    }
}

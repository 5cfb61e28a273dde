//! A guest's console ring (`public/io/console.h`): one page, shared with a guest that may write anything to it.
//!
//! ```text
//! 0     in:  1024 bytes, from us to the guest
//! 1024  out: 2048 bytes, from the guest to us
//! 3072  in_cons, in_prod, out_cons, out_prod: running 32-bit counters
//! ```
//!
//! Ours are `in_prod` and `out_cons`; the guest's are claims. All state is in the page, so a daemon that starts
//! anew goes on where the last one stopped.

use std::mem::offset_of;
use std::sync::atomic::{Ordering, fence};

use hypercall_abi::io::console::Interface;

use crate::xen::mapping::SharedPage;

/// Sizes of the two rings.
const IN_SIZE: u32 = 1024;
const OUT_SIZE: u32 = 2048;
const IN: usize = offset_of!(Interface, input);
const OUT: usize = offset_of!(Interface, output);
const IN_CONS: usize = offset_of!(Interface, in_cons);
const IN_PROD: usize = offset_of!(Interface, in_prod);
const OUT_CONS: usize = offset_of!(Interface, out_cons);
const OUT_PROD: usize = offset_of!(Interface, out_prod);
const _: () = assert!(OUT - IN == IN_SIZE as usize && IN_CONS - OUT == OUT_SIZE as usize);

/// The guest claims more bytes than a ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// How many.
    pub claimed: u32,
}

/// A console ring, from the daemon's side.
#[derive(Debug)]
pub struct Ring<P: SharedPage>(pub P);

impl<P: SharedPage> Ring<P> {
    /// Takes what the guest wrote, at most `limit` bytes, and appends it to `to`. The guest should be notified
    /// if anything was taken.
    ///
    /// # Errors
    /// [`Overrun`]; what the guest wrote is skipped, and the ring is consistent again.
    pub fn take(&self, limit: usize, to: &mut Vec<u8>) -> Result<usize, Overrun> {
        let page = &self.0;
        let cons = page.word(OUT_CONS).load(Ordering::Relaxed);
        let prod = page.word(OUT_PROD).load(Ordering::Acquire);
        let claimed = prod.wrapping_sub(cons);
        if claimed > OUT_SIZE {
            page.word(OUT_CONS).store(prod, Ordering::Release);
            return Err(Overrun { claimed });
        }
        let count = claimed.min(u32::try_from(limit).unwrap_or(u32::MAX));
        let start = cons % OUT_SIZE;
        let first = count.min(OUT_SIZE - start);
        let mut bytes = [0; OUT_SIZE as usize];
        let (head, tail) = bytes[..count as usize].split_at_mut(first as usize);
        page.read(OUT + start as usize, head);
        page.read(OUT, tail);
        to.extend_from_slice(&bytes[..count as usize]);
        // The guest may reuse the bytes once it sees this.
        page.word(OUT_CONS).store(cons.wrapping_add(count), Ordering::Release);
        fence(Ordering::SeqCst);
        Ok(count as usize)
    }

    /// Bytes that the guest can still be given. A guest that claims nonsense is given none.
    #[must_use]
    pub fn room(&self) -> usize {
        let page = &self.0;
        let used = page
            .word(IN_PROD)
            .load(Ordering::Relaxed)
            .wrapping_sub(page.word(IN_CONS).load(Ordering::Acquire));
        IN_SIZE.saturating_sub(used) as usize
    }

    /// Gives the guest as many of `bytes` as there is room for. The guest should be notified if any were.
    pub fn give(&self, bytes: &[u8]) -> usize {
        let page = &self.0;
        let count = bytes.len().min(self.room());
        let prod = page.word(IN_PROD).load(Ordering::Relaxed);
        let start = (prod % IN_SIZE) as usize;
        let (head, tail) = bytes[..count].split_at(count.min(IN_SIZE as usize - start));
        page.write(IN + start, head);
        page.write(IN, tail);
        page.word(IN_PROD).store(prod.wrapping_add(count as u32), Ordering::Release);
        fence(Ordering::SeqCst);
        count
    }
}

#[cfg(test)]
mod tests;

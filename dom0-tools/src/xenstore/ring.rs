//! A domain's ring page (`xenstore-ring.txt`, `struct xenstore_domain_interface`).
//!
//! Both directions are streams of bytes with free-running 32-bit positions. The page belongs to the domain: what is
//! read of it is a claim, and no state of the daemon but the domain's own depends on it.

use super::change::RingError;
use super::queue::Queue;
use core::mem::offset_of;
use hypercall_abi::io::xs_wire::{Interface, RING_SIZE, ServerFeatures};
use std::sync::atomic::{Ordering, fence};

/// A word of the page, by its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Word {
    /// Next request byte to take; ours.
    RequestConsumer = offset_of!(Interface, req_cons),
    /// End of the request bytes; the domain's.
    RequestProducer = offset_of!(Interface, req_prod),
    /// Next reply byte to take; the domain's.
    ReplyConsumer = offset_of!(Interface, rsp_cons),
    /// End of the reply bytes; ours.
    ReplyProducer = offset_of!(Interface, rsp_prod),
    /// What we can do.
    Features = offset_of!(Interface, server_features),
    /// Set by the domain to start over, cleared by us.
    Connection = offset_of!(Interface, connection),
    /// Why we do not serve the ring.
    Error = offset_of!(Interface, error),
}

/// Access to a ring page, and to the event channel that goes with it.
pub trait Ring {
    /// Reads a word; what was written before it by the other side is visible after.
    fn load(&self, word: Word) -> u32;
    /// Writes a word; what was written before it is visible to who reads it.
    fn store(&self, word: Word, value: u32);
    /// Copies bytes out of the page.
    fn read(&self, offset: usize, bytes: &mut [u8]);
    /// Copies bytes into the page.
    fn write(&self, offset: usize, bytes: &[u8]);
    /// Signals the domain.
    fn notify(&self);
}

const SIZE: u32 = RING_SIZE as u32;
const REQUESTS: usize = offset_of!(Interface, req);
const REPLIES: usize = offset_of!(Interface, rsp);

/// The request bytes from `position` on that the domain has put there.
pub fn requests(ring: &impl Ring, position: u32) -> Result<Vec<u8>, RingError> {
    // The other side looks at our consumer index after it has moved its producer index, and we must look at its
    // index after we have moved ours, or both could go to sleep.
    fence(Ordering::SeqCst);
    let count = ring.load(Word::RequestProducer).wrapping_sub(position);
    if count > SIZE {
        return Err(RingError::Index);
    }
    let mut bytes = vec![0; count as usize];
    let (start, first) = split(position, bytes.len());
    let (head, tail) = bytes.split_at_mut(first);
    ring.read(REQUESTS + start, head);
    ring.read(REQUESTS, tail);
    Ok(bytes)
}

/// Puts as much of the queue into the ring as there is space for. Tells whether that was any.
pub fn send(ring: &impl Ring, queue: &mut Queue) -> Result<bool, RingError> {
    let mut any = false;
    loop {
        fence(Ordering::SeqCst);
        let position = queue.position();
        let used = position.wrapping_sub(ring.load(Word::ReplyConsumer));
        let space = SIZE.checked_sub(used).ok_or(RingError::Index)?;
        let bytes = queue.next_bytes(space as usize);
        if bytes.is_empty() {
            return Ok(any);
        }
        let (start, first) = split(position, bytes.len());
        ring.write(REPLIES + start, &bytes[..first]);
        ring.write(REPLIES, &bytes[first..]);
        ring.store(Word::ReplyProducer, position.wrapping_add(bytes.len() as u32));
        if !queue.advance(bytes.len()) {
            return Err(RingError::Index);
        }
        any = true;
    }
}

/// Empties both directions and says what we can do. The domain looks at nothing of it before the connection word is
/// cleared, which is left to the caller.
pub fn clear(ring: &impl Ring) {
    for word in
        [Word::RequestConsumer, Word::RequestProducer, Word::ReplyConsumer, Word::ReplyProducer, Word::Error]
    {
        ring.store(word, 0);
    }
    announce(ring);
}

/// Says what we can do.
pub fn announce(ring: &impl Ring) {
    ring.store(Word::Features, (ServerFeatures::RECONNECTION | ServerFeatures::ERROR).bits());
}

/// Where in the ring a stream position is, and how many of `count` bytes follow before the ring wraps.
fn split(position: u32, count: usize) -> (usize, usize) {
    let start = (position % SIZE) as usize;
    (start, count.min(RING_SIZE - start))
}

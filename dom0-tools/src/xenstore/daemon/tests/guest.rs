//! A guest's end of a ring.

use super::machine::{Page, TestDaemon, World};
use crate::xenstore::ids::DomId;
use crate::xenstore::ring::Word;
use crate::xenstore::wire::{Kind, Request};
use std::collections::VecDeque;
use std::rc::Rc;

pub struct Guest {
    pub page: Rc<Page>,
    outgoing: VecDeque<u8>,
    incoming: Vec<u8>,
    req_id: u32,
}

/// A message from the daemon: type, request, payload.
pub type Incoming = (u32, u32, Vec<u8>);

impl Guest {
    pub fn new(world: &World, number: u16) -> Self {
        let page = world.pages[&DomId(number)].clone();
        Self { page, outgoing: VecDeque::new(), incoming: Vec::new(), req_id: 0 }
    }

    /// Puts a request into line; gives its number.
    pub fn ask(&mut self, kind: Kind, tx_id: u32, payload: &[u8]) -> u32 {
        self.req_id += 1;
        let request = Request { kind: kind as u32, req_id: self.req_id, tx_id, payload: payload.to_vec() };
        self.outgoing.extend(request.encode());
        self.req_id
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.outgoing.extend(bytes);
    }

    /// Moves at most `most` bytes each way.
    pub fn work(&mut self, most: usize) {
        let page = &self.page;
        let (producer, consumer) = (page.word(Word::RequestProducer), page.word(Word::RequestConsumer));
        let space = 1024 - producer.wrapping_sub(consumer) as usize;
        let count = space.min(most).min(self.outgoing.len());
        for (index, byte) in self.outgoing.drain(..count).enumerate() {
            page.put((producer as usize + index) % 1024, &[byte]);
        }
        page.set(Word::RequestProducer, producer.wrapping_add(count as u32));

        let (producer, consumer) = (page.word(Word::ReplyProducer), page.word(Word::ReplyConsumer));
        let count = (producer.wrapping_sub(consumer) as usize).min(most);
        let bytes = (0..count).map(|index| page.byte(1024 + (consumer as usize + index) % 1024));
        self.incoming.extend(bytes);
        page.set(Word::ReplyConsumer, consumer.wrapping_add(count as u32));
    }

    /// The next message that has arrived whole.
    pub fn receive(&mut self) -> Option<Incoming> {
        let (message, len) = crate::xenstore::wire::decode(&self.incoming).unwrap()?;
        self.incoming.drain(..len);
        Some((message.kind, message.req_id, message.payload))
    }

    /// Sends what is in line and gives everything that comes back.
    pub fn talk(&mut self, world: &World, daemon: &mut TestDaemon) -> Vec<Incoming> {
        let mut messages = Vec::new();
        for _ in 0..40 {
            self.work(4096);
            world.settle(daemon);
            messages.extend(std::iter::from_fn(|| self.receive()));
        }
        messages
    }

    /// Drops everything in line and underway.
    pub fn forget(&mut self) {
        self.outgoing.clear();
        self.incoming.clear();
    }
}

//! What waits to be sent on one connection.
//!
//! The queue knows the position of its first byte in the connection's stream of bytes. For a domain that position,
//! together with the producer index in the ring page, tells a restarted daemon exactly which bytes are out already.

use super::wire::{Kind, Message};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Messages in order, the first one perhaps partly sent.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    messages: VecDeque<Message>,
    /// Stream position of the first message's first byte, modulo 2^32.
    start: u32,
    /// Bytes of the first message that are out.
    sent: usize,
    events: BTreeMap<Rc<[u8]>, usize>,
    event_count: usize,
}

impl Queue {
    /// An empty queue whose first byte will have that position.
    #[must_use]
    pub fn at(start: u32) -> Self {
        Self { start, ..Self::default() }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Replies that wait.
    #[must_use]
    pub fn replies(&self) -> usize {
        self.messages.len() - self.event_count
    }

    /// Watch events that wait.
    #[must_use]
    pub fn events(&self) -> usize {
        self.event_count
    }

    /// Whether the same event waits already: the client learns nothing from a second one.
    #[must_use]
    pub fn holds_event(&self, payload: &[u8]) -> bool {
        self.events.contains_key(payload)
    }

    /// Forgets which events wait: of a queue read from the journal nobody knows yet how much is out.
    pub fn distrust(&mut self) {
        self.events.clear();
    }

    /// Appends a message.
    pub fn push(&mut self, message: Message) {
        if message.kind == Kind::WatchEvent {
            *self.events.entry(message.payload.clone()).or_default() += 1;
            self.event_count += 1;
        }
        self.messages.push_back(message);
    }

    /// Position of the first message's first byte.
    #[must_use]
    pub fn start(&self) -> u32 {
        self.start
    }

    /// Position of the first byte that is not out yet.
    #[must_use]
    pub fn position(&self) -> u32 {
        self.start.wrapping_add(self.sent as u32)
    }

    /// The messages that are not wholly out.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }

    /// The next bytes to send, at most `most`.
    #[must_use]
    pub fn next_bytes(&self, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut skip = self.sent;
        for message in &self.messages {
            if bytes.len() >= most {
                break;
            }
            bytes.extend(message.encode_from(skip));
            skip = 0;
        }
        bytes.truncate(most);
        bytes
    }

    /// Notes that `count` more bytes are out, and forgets the messages that are out wholly. Tells whether so many
    /// were waiting; if not, the queue is left as it was.
    #[must_use]
    pub fn advance(&mut self, count: usize) -> bool {
        let waiting: usize = self.messages.iter().map(Message::wire_len).sum();
        if waiting - self.sent.min(waiting) < count {
            return false;
        }
        self.sent += count;
        while let Some(first) = self.messages.front() {
            let len = first.wire_len();
            if self.sent < len {
                break;
            }
            self.sent -= len;
            self.start = self.start.wrapping_add(len as u32);
            if let Some(first) = self.messages.pop_front() {
                self.forget(&first);
            }
        }
        true
    }

    /// Aligns the queue with a stream of which the byte at `position` is the next to go out. Tells whether that lies
    /// within what the queue holds.
    #[must_use]
    pub fn resume_at(&mut self, position: u32) -> bool {
        self.sent = 0;
        self.advance(position.wrapping_sub(self.start) as usize)
    }

    fn forget(&mut self, message: &Message) {
        if message.kind != Kind::WatchEvent {
            return;
        }
        self.event_count -= 1;
        if let Some(count) = self.events.get_mut(&message.payload) {
            *count -= 1;
            if *count == 0 {
                self.events.remove(&message.payload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order() {
        let mut queue = Queue::at(u32::MAX - 3);
        queue.push(Message::event("/a", b"t"));
        queue.push(Message::event("/b", b"t"));
        let all = queue.next_bytes(1000);
        assert_eq!(all.len(), 42);
        assert!(queue.holds_event(b"/a\0t\0") && queue.events() == 2 && queue.replies() == 0);
        assert!(queue.advance(25));
        assert_eq!(queue.next_bytes(1000), all[25..]);
        assert!(!queue.holds_event(b"/a\0t\0") && queue.holds_event(b"/b\0t\0"));
        assert_eq!((queue.start(), queue.position()), (17, 21));
        assert!(!queue.advance(18), "only 17 wait");
        assert!(queue.advance(17) && queue.is_empty());
        assert_eq!(queue.position(), 38);
    }

    #[test]
    fn resuming() {
        let mut queue = Queue::at(100);
        queue.push(Message::event("/a", b"t"));
        let all = queue.next_bytes(1000);
        assert!(queue.resume_at(100) && queue.next_bytes(1000) == all);
        assert!(queue.resume_at(107) && queue.next_bytes(1000) == all[7..]);
        assert!(!queue.resume_at(99) && !queue.resume_at(122));
        assert!(queue.resume_at(121) && queue.is_empty());
    }
}

//! Floods through the two pages that a guest shares with daemons of domain 0: xenstore's and the console's. First with
//! what the daemon has to serve, then with what no client does.

use core::mem::offset_of;

use test_guests::abi::hvm::{PARAM_CONSOLE_EVTCHN, PARAM_CONSOLE_PFN, PARAM_STORE_EVTCHN, PARAM_STORE_PFN};
use test_guests::abi::io::console::Interface as Console;
use test_guests::abi::io::xs_wire::{ERROR_NONE, Interface as Store, SockMsg, WRITE};
use test_guests::abi::plain::Plain;
use test_guests::clock::{self, SECOND};
use test_guests::paging::{self, PAGE, PRESENT, Page, WRITABLE};
use test_guests::{call, events, suite};

use super::LONG;

/// How long a daemon may take to notice.
const PATIENCE: u64 = 60 * SECOND;

/// A stream of bytes to a daemon: a ring in a shared page, its indices, and the event channel.
struct Ring {
    page: Page,
    port: u32,
    start: usize,
    size: u32,
    consumer: usize,
    producer: usize,
}

impl Ring {
    fn load(&self, index: usize) -> u32 {
        self.page.get(index as u64)
    }

    fn store(&self, index: usize, value: u32) {
        self.page.set(index as u64, value);
    }

    /// Writes the message again and again, as often as it fits whole; then signals, needed or not.
    fn fill(&self, message: &[u8]) {
        let mut end = self.load(self.producer);
        let used = end.wrapping_sub(self.load(self.consumer));
        let times = self.size.saturating_sub(used) / message.len() as u32;
        for &byte in (0..times).flat_map(|_| message) {
            self.page.set((self.start + (end % self.size) as usize) as u64, byte);
            end = end.wrapping_add(1);
        }
        self.store(self.producer, end);
        self.signal();
    }

    fn signal(&self) {
        // A daemon that has given up on this guest may have closed its end.
        let _ = events::send(self.port);
    }

    /// Claims more bytes than the ring has.
    fn nonsense(&self) {
        let claim = (clock::now() as u32).max(self.size + 1);
        self.store(self.producer, self.load(self.consumer).wrapping_add(claim));
        self.signal();
    }
}

/// Maps a shared page into the window; `None` if the domain has none.
fn page(index: usize, frame: u32, port: u32) -> Option<(Page, u32)> {
    let gfn = call::get_param(frame).ok().filter(|&gfn| gfn != 0)?;
    let port = u32::try_from(call::get_param(port).ok()?).ok()?;
    Some((Page::at(paging::map(index, gfn * PAGE, PRESENT | WRITABLE)), port))
}

/// Requests as fast as they are served, then without taking the replies, then what are no requests, until xenstored has
/// given up on this domain.
pub fn store() {
    const TEXT: &[u8; 24] = b"data/flood\0drowning all ";
    let Some((page, port)) = page(0, PARAM_STORE_PFN, PARAM_STORE_EVTCHN) else { return };
    let ring = Ring {
        page,
        port,
        start: offset_of!(Store, req),
        size: 1024,
        consumer: offset_of!(Store, req_cons),
        producer: offset_of!(Store, req_prod),
    };
    let take_replies = || ring.store(offset_of!(Store, rsp_cons), ring.load(offset_of!(Store, rsp_prod)));
    let head = SockMsg { kind: WRITE, req_id: 0, tx_id: 0, len: TEXT.len() as u32 };
    let mut message = [0; size_of::<SockMsg>() + TEXT.len()];
    message[..size_of::<SockMsg>()].copy_from_slice(head.as_bytes());
    message[size_of::<SockMsg>()..].copy_from_slice(TEXT);
    let end = clock::now() + LONG;
    while clock::now() < end {
        ring.fill(&message);
        if clock::now() < end - LONG / 4 {
            take_replies();
        }
    }
    let taken = ring.load(ring.consumer);
    let given_up = clock::wait(PATIENCE, || {
        take_replies();
        ring.nonsense();
        ring.load(offset_of!(Store, error)) != ERROR_NONE
    });
    if taken < 100 * message.len() as u32 || !given_up {
        suite::die(format_args!("xenstored took {taken} bytes; it has given up: {given_up}"));
    }
}

/// Text as fast as it is taken, then more than there can be; the daemon goes on.
pub fn console() {
    const TEXT: &[u8] = b"a flood, to drown all others on their consoles\r\n";
    let Some((page, port)) = page(1, PARAM_CONSOLE_PFN, PARAM_CONSOLE_EVTCHN) else { return };
    let ring = Ring {
        page,
        port,
        start: offset_of!(Console, output),
        size: 2048,
        consumer: offset_of!(Console, out_cons),
        producer: offset_of!(Console, out_prod),
    };
    let end = clock::now() + LONG;
    while clock::now() < end {
        ring.fill(TEXT);
    }
    let taken = ring.load(ring.consumer);
    let end = clock::now() + LONG / 4;
    while clock::now() < end {
        ring.nonsense();
    }
    let is_empty = || ring.load(ring.consumer) == ring.load(ring.producer);
    clock::wait(PATIENCE, || {
        ring.signal();
        is_empty()
    });
    let before = ring.load(ring.consumer);
    let goes_on = clock::wait(PATIENCE, || {
        ring.fill(TEXT);
        ring.load(ring.consumer).wrapping_sub(before) > ring.size
    });
    if taken < 1000 * TEXT.len() as u32 || !goes_on {
        suite::die(format_args!("the console daemon took {taken} bytes; it goes on: {goes_on}"));
    }
}

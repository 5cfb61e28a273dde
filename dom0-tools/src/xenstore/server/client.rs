//! One process of domain 0 at its socket.

use crate::xenstore::queue::Queue;
use crate::xenstore::wire::{HEADER_LEN, PAYLOAD_MAX, Request, TooLong, decode};
use rustix::event::PollFlags;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Requests of one process handled before the others have their turn.
pub const TURN: usize = 16;
/// Bytes read ahead; more than one message.
const READ_AHEAD: usize = 4 * (HEADER_LEN + PAYLOAD_MAX);
/// Bytes offered to the kernel at once.
const BURST: usize = 64 << 10;

/// A connected process.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    /// The other side sends nothing more.
    is_closed: bool,
    /// The socket takes nothing more for now.
    is_full: bool,
}

impl Client {
    /// Takes over a connection.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, input: Vec::new(), is_closed: false, is_full: false })
    }

    /// What to wait for.
    pub fn interest(&self, is_saturated: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.is_closed && !is_saturated && self.input.len() < READ_AHEAD);
        flags.set(PollFlags::OUT, self.is_full);
        flags
    }

    /// Reads what is there.
    pub fn receive(&mut self) {
        let mut bytes = [0; READ_AHEAD];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.is_closed = true,
            Ok(count) => self.input.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.is_closed = true,
        }
    }

    /// The next request, if it is there whole.
    pub fn request(&mut self) -> Result<Option<Request>, TooLong> {
        let Some((request, len)) = decode(&self.input)? else { return Ok(None) };
        self.input.drain(..len);
        Ok(Some(request))
    }

    /// Takes back a request that has to wait.
    pub fn put_back(&mut self, request: &Request) {
        self.input.splice(..0, request.encode());
    }

    /// Whether a request is there, whole or hopeless.
    pub fn has_request(&self) -> bool {
        !matches!(decode(&self.input), Ok(None))
    }

    /// Whether nothing more will come.
    pub fn is_done(&self) -> bool {
        self.is_closed
    }

    /// Sends as much as the socket takes.
    ///
    /// # Errors
    /// If the other side is gone.
    pub fn send(&mut self, output: &mut Queue) -> io::Result<()> {
        self.is_full = false;
        loop {
            let bytes = output.next_bytes(BURST);
            if bytes.is_empty() {
                return Ok(());
            }
            match self.stream.write(&bytes) {
                Ok(count) if output.advance(count) => {}
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

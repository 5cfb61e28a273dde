//! One guest's console: its ring on one side, its log and its pseudo terminal on the other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::backlog::Backlog;
use super::budget::Budget;
use super::log::Log;
use super::ring::Ring;
use super::terminal::Terminal;
use crate::config::Uuid;
use crate::xen::error::XenError;
use crate::xen::evtchn::Evtchn;
use crate::xen::gntdev::GrantedPage;

/// Bytes taken from one guest before the others have their turn.
const TURN: usize = 32 * 1024;
/// What handling an event costs of a guest's budget beside the bytes it brings.
const EVENT: usize = 64;
/// What a ring in disorder costs of a guest's budget.
const DISORDER: usize = 16 * 1024;

/// A connected console.
#[derive(Debug)]
pub struct Console {
    /// The guest.
    pub uuid: Uuid,
    /// Its name, for messages.
    pub name: String,
    /// Our port.
    pub port: u32,
    ring: Ring<GrantedPage>,
    budget: Budget,
    log: Log,
    terminal: Terminal,
    backlog: Backlog,
    /// Whether the log could be written to last time: trouble is reported once.
    log_works: bool,
}

/// How a guest's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is nothing more; its next event is waited for.
    Done,
    /// It has more to say.
    More,
    /// It has used up its budget.
    Exhausted,
}

impl Console {
    /// A console whose parts are all there.
    #[must_use]
    pub fn new(uuid: Uuid, name: String, port: u32, page: GrantedPage, log: Log, terminal: Terminal) -> Self {
        let budget = Budget::new(Instant::now());
        let (ring, backlog) = (Ring(page), Backlog::default());
        Self { uuid, name, port, ring, budget, log, terminal, backlog, log_works: true }
    }

    /// The pseudo terminal's path.
    #[must_use]
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Handles what the guest wrote since last time.
    ///
    /// # Errors
    /// If the guest cannot be signalled.
    pub fn take_output(&mut self, evtchn: &Evtchn, now: Instant) -> Result<Turn, XenError> {
        let allowed = self.budget.left(now);
        if allowed < EVENT {
            return Ok(Turn::Exhausted);
        }
        let mut bytes = Vec::new();
        let turn = match self.ring.take(allowed.min(TURN), &mut bytes) {
            Ok(0) => Turn::Done,
            Ok(_) => Turn::More,
            Err(overrun) => {
                self.budget.spend(DISORDER);
                let note = format!(
                    "\r\n[tenon-consoled: the guest claims {} bytes in its ring]\r\n",
                    overrun.claimed
                );
                bytes.extend_from_slice(note.as_bytes());
                Turn::More
            }
        };
        self.budget.spend(EVENT + bytes.len());
        if !bytes.is_empty() {
            evtchn.notify(self.port)?;
            self.write_log(&bytes);
            self.backlog.push(&bytes);
            self.show();
        }
        Ok(turn)
    }

    fn write_log(&mut self, bytes: &[u8]) {
        match self.log.write(bytes) {
            Ok(()) => self.log_works = true,
            Err(e) if self.log_works => {
                self.log_works = false;
                eprintln!("tenon-consoled: {}: cannot write the log: {e}", self.name);
            }
            Err(_) => {}
        }
    }

    /// Whether the pseudo terminal's user is behind.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether something typed could be passed on.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.ring.room() > 0
    }

    /// Shows the pseudo terminal's user what it has room for.
    pub fn show(&mut self) {
        while !self.backlog.is_empty() {
            match self.terminal.write(self.backlog.front()) {
                Ok(count) if count > 0 => self.backlog.consume(count),
                // No room, or nobody there: it waits, and the oldest goes when it becomes too much.
                _ => return,
            }
        }
    }

    /// Passes on what was typed.
    ///
    /// # Errors
    /// If the terminal cannot be read or the guest not be signalled.
    pub fn give_input(&mut self, evtchn: &Evtchn) -> io::Result<()> {
        let mut typed = [0; 1024];
        let room = self.ring.room().min(typed.len());
        let count = self.terminal.read(&mut typed[..room])?;
        if self.ring.give(&typed[..count]) > 0 {
            evtchn.notify(self.port).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }
}

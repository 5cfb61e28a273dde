//! Serving the rings of domains.

use super::{Daemon, Later, Machine};
use crate::xenstore::change::{Change, RingError};
use crate::xenstore::fairness::Millis;
use crate::xenstore::ids::{ConnId, DomId};
use crate::xenstore::journal::Log;
use crate::xenstore::ring::{self, Ring, Word};
use crate::xenstore::state::Phase;
use crate::xenstore::wire::{self, TooLong};
use hypercall_abi::io::xs_wire::{CONNECTED, RECONNECT, RING_SIZE};
use tracing::warn;

/// Requests of one domain handled before the others have their turn.
const TURN: usize = 16;

/// How far serving a ring went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The domain has to act first, and will signal.
    All,
    /// There is more.
    More,
    /// There is more, but it has to wait.
    Later,
}

enum Step {
    Done,
    Handled,
    Wait,
}

impl<M: Machine, L: Log> Daemon<M, L> {
    /// Takes requests out of a domain's ring and handles them.
    pub fn serve(&mut self, domid: DomId, now: Millis) -> Served {
        let conn = ConnId::Domain(domid);
        self.now = now;
        if self.machine.ring(domid).is_some_and(|ring| ring.load(Word::Connection) == RECONNECT) {
            self.notices.say(conn, now, format_args!("the domain starts its connection over"));
            if !self.reset(domid) {
                return Served::Later;
            }
        }
        let mut served = Served::More;
        for _ in 0..TURN {
            match self.step(domid) {
                Step::Handled => {}
                Step::Done => {
                    served = Served::All;
                    break;
                }
                Step::Wait => {
                    served = Served::Later;
                    break;
                }
            }
        }
        // Room for replies may be the only news.
        self.unsent.insert(conn);
        served
    }

    /// Handles one request, or takes the part of one that is there.
    fn step(&mut self, domid: DomId) -> Step {
        let conn = ConnId::Domain(domid);
        if self.is_saturated(conn) {
            self.send(domid);
            if self.is_saturated(conn) {
                return Step::Done;
            }
        }
        let (Some(connection), Some(ring)) = (self.state.conns.get(&conn), self.machine.ring(domid)) else {
            return Step::Done;
        };
        if connection.phase != Phase::Ready {
            return Step::Done;
        }
        let fresh = match ring::requests(ring, connection.input) {
            Ok(fresh) if fresh.is_empty() => return Step::Done,
            Ok(fresh) => fresh,
            Err(error) => return self.give_up(domid, error),
        };
        let is_full = fresh.len() == RING_SIZE;
        let kept = connection.partial.len();
        let bytes = [&connection.partial[..], &fresh].concat();
        let done = match wire::decode(&bytes) {
            Err(TooLong(_)) => return self.give_up(domid, RingError::Protocol),
            Ok(Some((request, len))) => {
                let count = len.saturating_sub(kept) as u32;
                self.handle_with(conn, &request, Some(Change::Taken { conn, count }))
            }
            Ok(None) => {
                let partial = Change::Partial { conn, bytes: fresh };
                self.commit(vec![partial]).map_err(|_| Later)
            }
        };
        if done == Err(Later) {
            return Step::Wait;
        }
        if let (Some(connection), Some(ring)) = (self.state.conns.get(&conn), self.machine.ring(domid)) {
            ring.store(Word::RequestConsumer, connection.input);
            if is_full {
                // The domain may wait for space to write the rest.
                ring.notify();
            }
        }
        Step::Handled
    }

    /// Offers a domain what waits for it.
    pub fn send(&mut self, domid: DomId) {
        let Some(connection) = self.state.conns.get_mut(&ConnId::Domain(domid)) else { return };
        let Some(ring) = self.machine.ring(domid) else { return };
        if connection.phase != Phase::Ready {
            return;
        }
        match ring::send(ring, &mut connection.output) {
            Ok(true) => ring.notify(),
            Ok(false) => {}
            Err(error) => {
                self.give_up(domid, error);
            }
        }
    }

    /// Serves a ring again after a restart: puts right what the last daemon may not have come to.
    pub(super) fn resume_ring(&mut self, domid: DomId) {
        let conn = ConnId::Domain(domid);
        let Some(connection) = self.state.conns.get_mut(&conn) else { return };
        let Some(ring) = self.machine.ring(domid) else { return };
        match connection.phase {
            Phase::Ready if ring.load(Word::Connection) == RECONNECT => {}
            Phase::Ready if connection.output.resume_at(ring.load(Word::ReplyProducer)) => {
                ring::announce(ring);
                ring.store(Word::RequestConsumer, connection.input);
                ring.notify();
                self.unsent.insert(conn);
            }
            Phase::Ready => {
                self.give_up(domid, RingError::Index);
            }
            Phase::Resetting => {
                self.empty(domid);
            }
            Phase::Broken(error) => ring.store(Word::Error, error as u32),
        }
    }

    /// Starts a domain's connection over, as it asked for. Tells whether that could be recorded.
    fn reset(&mut self, domid: DomId) -> bool {
        let conn = ConnId::Domain(domid);
        let link = self.link(conn);
        self.state.conns.contains_key(&conn)
            && self.commit(vec![Change::Reset { conn, link }]).is_ok()
            && self.machine.ring(domid).is_some_and(|ring| ring.load(Word::Connection) == CONNECTED)
    }

    /// Empties the ring of a connection that is being reset.
    pub(super) fn empty(&mut self, domid: DomId) -> bool {
        let conn = ConnId::Domain(domid);
        let Some(ring) = self.machine.ring(domid) else { return false };
        ring::clear(ring);
        if let Err(refusal) = self.commit(vec![Change::Ready { conn, input: 0, output: 0 }]) {
            warn!(client = %conn, "the connection cannot be opened: {refusal}");
            return false;
        }
        if let Some(ring) = self.machine.ring(domid) {
            ring.store(Word::Connection, CONNECTED);
            ring.notify();
        }
        true
    }

    /// Stops serving a ring that its domain has broken.
    fn give_up(&mut self, domid: DomId, error: RingError) -> Step {
        let conn = ConnId::Domain(domid);
        let why = format_args!("the ring is not served any more: {error:?} error");
        self.notices.say(conn, self.now, why);
        if self.commit(vec![Change::Break { conn, error }]).is_ok()
            && let Some(ring) = self.machine.ring(domid)
        {
            ring.store(Word::Error, error as u32);
            ring.notify();
        }
        Step::Done
    }
}

//! The daemon without its sockets: requests in, recorded changes, replies out.
//!
//! # What a kill cannot break
//!
//! Every batch of changes is in the journal before anything of it shows outside. For a domain the batch holds the
//! request's removal from the ring, its effect, its reply and the events for every domain. In order:
//!
//! 1. Request bytes are copied out of the ring; the ring is not touched. Killed here: they are still there.
//! 2. The batch is recorded, with `Taken`: how far the stream of requests is consumed.
//! 3. The batch is applied in memory, and the ring's request consumer index is stored. Killed between 2 and 3: the
//!    restarted daemon knows the position from the journal, stores it, and does not look at those bytes again.
//! 4. Reply bytes are copied into the ring behind the reply producer index, which is then moved. The journal knows
//!    the stream position of every reply's first byte, so the index in the page tells the restarted daemon which
//!    bytes are out: those behind it are written (again), those before it never.
//! 5. The domain is signalled. Killed before that: the restarted daemon signals every domain.
//!
//! A request that is not there whole is taken out of the ring too, with its bytes in the journal (`Partial`): Linux
//! signals only when it writes to an empty ring, so bytes left behind would never be announced.
//!
//! Emptying a ring (INTRODUCE, or when the domain asks for it) is recorded before (`Reset`) and after (`Ready`), and
//! done again if the daemon was killed in between: until the connection word is cleared, or the domain unpaused, the
//! domain does not look at the ring.
//!
//! The event channel needs no record beyond the domain's port: with the process the kernel closes its end, the
//! domain's end turns unbound for domain 0, and is bound again. Whatever the domain signalled meanwhile was lost,
//! so every ring is looked at once.
//!
//! A socket dies with the process. Its client reconnects; what it was told is true.

mod domains;
mod notices;
mod rings;
#[cfg(test)]
mod tests;

pub use domains::{Condition, Machine};
pub use rings::Served;

use super::change::{Change, Link};
use super::fairness::{Fairness, Millis};
use super::ids::ConnId;
use super::journal::Log;
use super::plan::{Action, Outcome, Verdict, plan};
use super::queue::Queue;
use super::quota::Quota;
use super::refusal::Refusal;
use super::state::State;
use super::wire::{Message, Request};
use notices::Notices;
use std::collections::BTreeSet;
use tracing::{info, warn};

/// A request that cannot be handled now: it would change what another's transaction has reserved, or the journal
/// takes no more. It is to be presented again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later;

/// The store, its journal, and the machine with its domains.
pub struct Daemon<M: Machine, L: Log> {
    state: State,
    log: L,
    machine: M,
    fairness: Fairness,
    notices: Notices,
    /// Connections with messages that were not offered to the other side yet.
    unsent: BTreeSet<ConnId>,
    trace: bool,
    last_socket: u64,
    /// The time of what is handled now.
    now: Millis,
}

impl<M: Machine, L: Log> Daemon<M, L> {
    /// A daemon that continues a recorded state. Domains are not served before [`Daemon::start`].
    pub fn new(state: State, log: L, machine: M) -> Self {
        Self {
            state,
            log,
            machine,
            fairness: Fairness::default(),
            notices: Notices::default(),
            unsent: BTreeSet::new(),
            trace: false,
            last_socket: 0,
            now: 0,
        }
    }

    /// What the daemon knows.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine.
    pub fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// A process has connected.
    pub fn connect(&mut self) -> ConnId {
        self.last_socket += 1;
        let conn = ConnId::Socket(self.last_socket);
        self.state.apply(&Change::Connect { conn, link: None });
        conn
    }

    /// A process has gone.
    pub fn disconnect(&mut self, conn: ConnId) {
        self.state.apply(&Change::Disconnect { conn });
        self.fairness.gone(conn);
        self.unsent.remove(&conn);
    }

    /// What waits to be sent on a socket.
    pub fn output(&mut self, conn: ConnId) -> Option<&mut Queue> {
        self.state.conns.get_mut(&conn).map(|connection| &mut connection.output)
    }

    /// Whether a client has taken so few of its replies that its next request has to wait.
    pub fn is_saturated(&self, conn: ConnId) -> bool {
        let limit = self.state.limits.of(Quota::Outstanding).max(1);
        self.state.conns.get(&conn).is_none_or(|connection| connection.output.replies() >= limit)
    }

    /// The connections that got messages since the last call.
    pub fn take_unsent(&mut self) -> BTreeSet<ConnId> {
        std::mem::take(&mut self.unsent)
    }

    /// Handles a request of a process.
    ///
    /// # Errors
    /// If it has to wait.
    pub fn handle(&mut self, conn: ConnId, request: &Request, now: Millis) -> Result<(), Later> {
        self.now = now;
        self.handle_with(conn, request, None)
    }

    /// Handles a request, together with its removal from a ring.
    fn handle_with(&mut self, conn: ConnId, request: &Request, taken: Option<Change>) -> Result<(), Later> {
        let now = self.now;
        let outcome = plan(&self.state, conn, request, &mut self.machine);
        if self.fairness.blocks(&self.state, conn, &outcome.changes, now) {
            return Err(Later);
        }
        let Outcome { changes, refusal, verdict, action, overflowed } = outcome;
        for (conn, limit) in overflowed {
            self.notices.overflowed(conn, limit, now);
        }
        self.note(conn, verdict, now);
        if let Some(refusal) = &refusal {
            self.notices.refused(conn, request, refusal, now);
        } else if self.trace {
            info!(client = %conn, kind = request.kind, tx = request.tx_id, "handled");
        }
        let is_durable = conn.is_durable();
        match self.commit(taken.into_iter().chain(changes).collect()) {
            Ok(()) => {}
            // The request stays in the ring.
            Err(refusal) if is_durable => {
                self.notices.refused(conn, request, &refusal, now);
                return Err(Later);
            }
            Err(refusal) => {
                self.notices.refused(conn, request, &refusal, now);
                let message = Message::error(request, refusal.errno());
                self.state.apply(&Change::Send { conn, message });
                self.unsent.insert(conn);
                return Ok(());
            }
        }
        match action {
            Some(Action::Trace(on)) => self.trace = on,
            Some(Action::Print(line)) => info!("{line}"),
            None => {}
        }
        Ok(())
    }

    /// Records a batch and applies it: the only way to change anything that is to last.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Refusal> {
        if let Err(first) = self.log.append(&changes) {
            // Perhaps there is space once the past is gone.
            let again = self.log.rewrite(&self.state).and_then(|()| self.log.append(&changes));
            again.map_err(|second| Refusal::Journal(format!("{first}; {second}")))?;
        }
        for change in &changes {
            self.state.apply(change);
            if let Change::Send { conn, .. } = change {
                self.unsent.insert(*conn);
            }
        }
        if self.log.is_bloated()
            && let Err(why) = self.log.rewrite(&self.state)
        {
            warn!("the journal cannot be rewritten and goes on growing: {why}");
        }
        self.settle(&changes);
        Ok(())
    }

    fn note(&mut self, conn: ConnId, verdict: Option<Verdict>, now: Millis) {
        match verdict {
            Some(Verdict::Begun(tx)) => self.fairness.begun(conn, tx, now),
            Some(Verdict::Committed(tx)) => self.fairness.committed(conn, tx),
            Some(Verdict::Dropped(tx)) => self.fairness.dropped(conn, tx, now),
            Some(Verdict::Lost(tx)) => {
                let transaction =
                    self.state.conns.get(&conn).and_then(|connection| connection.transactions.get(&tx));
                let seen = transaction.into_iter().flat_map(|transaction| transaction.seen());
                let seen = seen.map(|(path, seen)| (path.clone(), seen)).collect();
                self.fairness.lost(conn, tx, seen, now);
            }
            None => {}
        }
    }

    /// How a connection is reached.
    fn link(&self, conn: ConnId) -> Option<Link> {
        self.state.conns.get(&conn)?.link
    }
}

//! Why no transaction starves.
//!
//! Commits are optimistic, so a client that writes all the time could make another's transaction fail for ever. A
//! transaction that follows a lost one of the same client therefore holds a reservation: as long as it is open, at
//! most [`HOLD`], others' changes of what the lost one and this one depend on have to wait. So a client that tries
//! again and commits within that time is sure to get through; one that depends on other nodes each time, once it has
//! seen them all.
//!
//! The price is bounded: a reservation that is not used well is not given again for [`REST`], so nobody waits for
//! more than that share of time, and never for a client that does not lose. Where two that hold one are in each
//! other's way, the elder passes.
//!
//! Nothing of this survives the daemon; a lost turn at a restart is repeated.

use super::change::Change;
use super::ids::ConnId;
use super::path::Path;
use super::state::State;
use super::transaction::Seen;
use super::tree::NodeOp;
use std::collections::BTreeMap;

/// Milliseconds since some start.
pub type Millis = u64;

/// How long a reservation lasts.
pub const HOLD: Millis = 100;
/// How long a client that let one expire has to do without.
pub const REST: Millis = 16 * HOLD;

/// How many nodes of lost transactions are kept in mind for one client before it starts anew.
const REMEMBERED: usize = 4096;

/// Who has lost, and who is protected.
#[derive(Debug, Default)]
pub struct Fairness {
    losers: BTreeMap<ConnId, Loser>,
    /// In the order of their beginning.
    held: Vec<Reservation>,
}

#[derive(Debug)]
struct Loser {
    seen: BTreeMap<Path, Seen>,
    not_before: Millis,
}

#[derive(Debug)]
struct Reservation {
    conn: ConnId,
    tx: u32,
    until: Millis,
}

impl Fairness {
    /// A client opened a transaction.
    pub fn begun(&mut self, conn: ConnId, tx: u32, now: Millis) {
        let may = self.losers.get(&conn).is_some_and(|loser| loser.not_before <= now);
        if may && self.held.iter().all(|held| held.conn != conn) {
            self.held.push(Reservation { conn, tx, until: now + HOLD });
        }
    }

    /// A client's transaction lost; this is what it depended on.
    pub fn lost(&mut self, conn: ConnId, tx: u32, seen: BTreeMap<Path, Seen>, now: Millis) {
        let held = self.give_back(conn, tx);
        let loser = self.losers.entry(conn).or_insert(Loser { seen: BTreeMap::new(), not_before: 0 });
        if held {
            // It lost in spite of it, to a change of its own or to an elder one.
            loser.not_before = now + REST;
        }
        if loser.seen.len() > REMEMBERED {
            loser.seen.clear();
        }
        loser.seen.extend(seen);
    }

    /// A client's transaction was committed.
    pub fn committed(&mut self, conn: ConnId, tx: u32) {
        self.give_back(conn, tx);
        self.losers.remove(&conn);
    }

    /// A client dropped its transaction.
    pub fn dropped(&mut self, conn: ConnId, tx: u32, now: Millis) {
        if self.give_back(conn, tx) {
            self.rest(conn, now);
        }
    }

    /// A client is gone, with its transactions.
    pub fn gone(&mut self, conn: ConnId) {
        self.held.retain(|held| held.conn != conn);
        self.losers.remove(&conn);
    }

    /// Whether a client's changes have to wait.
    pub fn blocks(&mut self, state: &State, conn: ConnId, changes: &[Change], now: Millis) -> bool {
        self.expire(now);
        let elder = self.held.iter().take_while(|held| held.conn != conn);
        for held in elder {
            let lost = self.losers.get(&held.conn).map(|loser| &loser.seen);
            let lost = lost.into_iter().flatten().map(|(path, seen)| (path, *seen));
            let open = state.conns.get(&held.conn).and_then(|owner| owner.transactions.get(&held.tx));
            let open = open.into_iter().flat_map(|transaction| transaction.seen());
            let mut seen = lost.chain(open);
            if seen.any(|(path, seen)| ops(changes).any(|op| seen.is_hit_by(path, op))) {
                return true;
            }
        }
        false
    }

    fn expire(&mut self, now: Millis) {
        while let Some(at) = self.held.iter().position(|held| held.until <= now) {
            let conn = self.held.remove(at).conn;
            self.rest(conn, now);
        }
    }

    fn rest(&mut self, conn: ConnId, now: Millis) {
        if let Some(loser) = self.losers.get_mut(&conn) {
            loser.not_before = now + REST;
        }
    }

    fn give_back(&mut self, conn: ConnId, tx: u32) -> bool {
        let before = self.held.len();
        self.held.retain(|held| held.conn != conn || held.tx != tx);
        before != self.held.len()
    }
}

fn ops(changes: &[Change]) -> impl Iterator<Item = &NodeOp> {
    changes.iter().filter_map(|change| match change {
        Change::Node(op) => Some(op),
        _ => None,
    })
}

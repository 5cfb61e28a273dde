//! Everything the daemon knows.
//!
//! A state alters by [`State::apply`] only, with one exception: which bytes of a connection's queue are out already
//! is told by the ring page itself (or, of a socket, dies with it), and so needs no record.

use super::change::{Change, Link, RingError, Special};
use super::ids::{ConnId, DomId};
use super::perms::{Caller, Perms};
use super::queue::Queue;
use super::quota::{Limits, Quota};
use super::transaction::Transaction;
use super::tree::{NodeOp, Tree};
use super::watch::{Watch, Watches};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The ring is to be emptied before anything else.
    Resetting,
    /// Served.
    Ready,
    /// Not served until the domain or a tool resets it.
    Broken(RingError),
}

/// One client.
#[derive(Clone, Debug)]
pub struct Connection {
    /// In whose name it speaks.
    pub caller: Caller,
    /// How to reach a domain.
    pub link: Option<Link>,
    /// How far it is.
    pub phase: Phase,
    /// The part of a request that was taken out of the ring before the rest was there.
    pub partial: Vec<u8>,
    /// Position of the next byte to take out of the ring.
    pub input: u32,
    /// What is to be sent.
    pub output: Queue,
    /// Its open transactions.
    pub transactions: BTreeMap<u32, Transaction>,
    /// Whether the domain's shutdown was announced.
    pub shutdown_announced: bool,
    last_transaction: u32,
}

/// The store, its watches and its clients.
#[derive(Clone, Debug)]
pub struct State {
    /// The nodes.
    pub tree: Tree,
    /// The watches.
    pub watches: Watches,
    /// The clients.
    pub conns: BTreeMap<ConnId, Connection>,
    /// The limits.
    pub limits: Limits,
    specials: [Rc<Perms>; 2],
}

impl Connection {
    fn new(conn: ConnId, link: Option<Link>) -> Self {
        Self {
            caller: Caller { domid: conn.domid(), target: None },
            link,
            phase: if conn.is_durable() { Phase::Resetting } else { Phase::Ready },
            partial: Vec::new(),
            input: 0,
            output: Queue::default(),
            transactions: BTreeMap::new(),
            shutdown_announced: false,
            last_transaction: 0,
        }
    }

    /// A number for the next transaction.
    #[must_use]
    pub fn free_transaction(&self) -> u32 {
        let mut number = self.last_transaction;
        loop {
            number = number.wrapping_add(1).max(1);
            if !self.transactions.contains_key(&number) {
                return number;
            }
        }
    }
}

impl Default for State {
    fn default() -> Self {
        let private = Rc::new(Perms::private(DomId::CONTROL));
        Self {
            tree: Tree::new(0),
            watches: Watches::default(),
            conns: BTreeMap::new(),
            limits: Limits::default(),
            specials: [private.clone(), private],
        }
    }
}

impl State {
    /// Who may see a special event.
    #[must_use]
    pub fn special(&self, event: Special) -> &Rc<Perms> {
        &self.specials[event as usize]
    }

    /// Makes a change. One that concerns a connection or transaction that is not there does nothing.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Generation(number) => self.tree.skip_generations(*number),
            Change::Node(op) => {
                self.tree.apply(op);
            }
            Change::Special { event, perms } => self.specials[*event as usize] = perms.clone(),
            Change::Limit { quota, limit } => {
                self.limits.set(*quota, usize::try_from(*limit).unwrap_or(usize::MAX));
            }
            Change::Connect { conn, link } => {
                self.watches.remove_all(*conn);
                self.conns.insert(*conn, Connection::new(*conn, *link));
            }
            Change::Disconnect { conn } => {
                self.watches.remove_all(*conn);
                self.conns.remove(conn);
            }
            Change::Watch { conn, path, token, hidden } => {
                self.watches.add(path, Watch { conn: *conn, token: token.clone(), hidden: *hidden });
            }
            Change::Unwatch { conn, path, token } => self.watches.remove(*conn, path, token),
            _ => self.apply_to_connection(change),
        }
    }

    fn apply_to_connection(&mut self, change: &Change) {
        let Some(id) = change.conn() else { return };
        let Some(connection) = self.conns.get_mut(&id) else { return };
        match change {
            Change::Reset { link, .. } => {
                self.watches.remove_all(id);
                let fresh = Connection::new(id, *link);
                *connection = Connection {
                    caller: connection.caller,
                    shutdown_announced: connection.shutdown_announced,
                    ..fresh
                };
            }
            Change::Ready { input, output, .. } => {
                (connection.phase, connection.input) = (Phase::Ready, *input);
                connection.output = Queue::at(*output);
                connection.partial.clear();
            }
            Change::Break { error, .. } => {
                self.watches.remove_all(id);
                connection.phase = Phase::Broken(*error);
                connection.output = Queue::default();
                connection.partial = Vec::new();
                connection.transactions.clear();
            }
            Change::Target { target, .. } => connection.caller.target = *target,
            Change::Shutdown { announced, .. } => connection.shutdown_announced = *announced,
            Change::Begin { tx, .. } => {
                connection.last_transaction = *tx;
                connection.transactions.insert(*tx, Transaction::begin(&self.tree));
            }
            Change::Edit { tx, op, .. } => {
                if let Some(transaction) = connection.transactions.get_mut(tx) {
                    transaction.apply(op);
                }
            }
            Change::See { tx, path, what, .. } => {
                if let Some(transaction) = connection.transactions.get_mut(tx) {
                    transaction.note(path, *what);
                }
            }
            Change::End { tx, .. } => {
                connection.transactions.remove(tx);
            }
            Change::Partial { bytes, .. } => {
                connection.input = connection.input.wrapping_add(bytes.len() as u32);
                connection.partial.extend_from_slice(bytes);
            }
            Change::Taken { count, .. } => {
                connection.input = connection.input.wrapping_add(*count);
                connection.partial = Vec::new();
            }
            Change::Send { message, .. } => connection.output.push(message.clone()),
            _ => {}
        }
    }

    /// The changes that build what must survive of this state from an empty one.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Change> {
        let mut changes = vec![Change::Generation(self.tree.generation())];
        let limits = Quota::ALL.iter().map(|(quota, ..)| *quota);
        changes.extend(limits.map(|quota| Change::Limit { quota, limit: self.limits.of(quota) as u64 }));
        changes
            .extend(Special::ALL.map(|event| Change::Special { event, perms: self.special(event).clone() }));
        self.tree.visit(|path, node| {
            let (value, perms) = (node.value.clone(), node.perms.clone());
            changes.push(Change::Node(NodeOp::Set { path: path.clone(), value, perms }));
        });
        for (conn, connection) in self.conns.iter().filter(|(conn, _)| conn.is_durable()) {
            connection.snapshot(*conn, &mut changes);
        }
        for (path, watch) in self.watches.iter().filter(|(_, watch)| watch.conn.is_durable()) {
            changes.push(Change::Watch {
                conn: watch.conn,
                path: path.clone(),
                token: watch.token.clone(),
                hidden: watch.hidden,
            });
        }
        changes
    }

    /// What has to be said once all that was recorded is applied again.
    pub fn resume(&mut self) {
        for connection in self.conns.values_mut() {
            connection.output.distrust();
            connection.transactions.values_mut().for_each(Transaction::doom);
        }
    }
}

impl Connection {
    fn snapshot(&self, conn: ConnId, changes: &mut Vec<Change>) {
        changes.push(Change::Connect { conn, link: self.link });
        match self.phase {
            Phase::Resetting => {}
            Phase::Ready => {
                let input = self.input.wrapping_sub(self.partial.len() as u32);
                changes.push(Change::Ready { conn, input, output: self.output.start() });
            }
            Phase::Broken(error) => changes.push(Change::Break { conn, error }),
        }
        if !self.partial.is_empty() {
            changes.push(Change::Partial { conn, bytes: self.partial.clone() });
        }
        if self.caller.target.is_some() {
            changes.push(Change::Target { conn, target: self.caller.target });
        }
        if self.shutdown_announced {
            changes.push(Change::Shutdown { conn, announced: true });
        }
        for (&tx, transaction) in &self.transactions {
            changes.push(Change::Begin { conn, tx });
            changes.extend(transaction.ops().iter().map(|op| Change::Edit { conn, tx, op: op.clone() }));
        }
        changes.extend(self.output.messages().map(|message| Change::Send { conn, message: message.clone() }));
    }
}

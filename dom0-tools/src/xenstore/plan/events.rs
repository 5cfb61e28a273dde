//! Which watch events a batch of changes causes.
//!
//! A client hears of a change if it may read the node, before or after, or the node's parent (whose listing tells of
//! the node anyway). Removing a node triggers the watches at and above it with its path, and the watches set below
//! it, whose own nodes went with it, with theirs. What waits unread already is not queued twice.

use crate::xenstore::change::{Change, Special};
use crate::xenstore::ids::ConnId;
use crate::xenstore::path::Path;
use crate::xenstore::perms::{Caller, Need};
use crate::xenstore::quota::Quota;
use crate::xenstore::state::State;
use crate::xenstore::tree::{NodeOp, Tree};
use crate::xenstore::watch::{Watch, WatchPath};
use crate::xenstore::wire::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How many more events than a domain's may wait for domain 0 and its tools, which have no quotas.
const PRIVILEGED_FACTOR: usize = 16;

/// Events in the making.
pub struct Batch<'a> {
    state: &'a State,
    messages: Vec<(ConnId, Message)>,
    known: BTreeSet<(ConnId, Rc<[u8]>)>,
    counts: BTreeMap<ConnId, usize>,
    /// Who has so many events waiting that paths were left out.
    overflowed: BTreeMap<ConnId, usize>,
    muted: Option<ConnId>,
}

impl<'a> Batch<'a> {
    /// No events yet.
    #[must_use]
    pub fn new(state: &'a State) -> Self {
        Self {
            state,
            messages: Vec::new(),
            known: BTreeSet::new(),
            counts: BTreeMap::new(),
            overflowed: BTreeMap::new(),
            muted: None,
        }
    }

    /// Sends nothing to that connection, which is about to end.
    pub fn mute(&mut self, conn: ConnId) {
        self.muted = Some(conn);
    }

    /// The connections that reached their limit of events, and the limit.
    pub fn take_overflowed(&mut self) -> BTreeMap<ConnId, usize> {
        std::mem::take(&mut self.overflowed)
    }

    /// The events as changes.
    pub fn into_changes(self) -> impl Iterator<Item = Change> {
        self.messages.into_iter().map(|(conn, message)| Change::Send { conn, message })
    }

    /// The changes `ops` turned `before` into `after`.
    pub fn fire(&mut self, before: &Tree, after: &Tree, ops: &[NodeOp]) {
        let watches = &self.state.watches;
        for op in ops {
            let path = op.path();
            if before.get(path).is_none() && after.get(path).is_none() {
                continue;
            }
            for (at, watch) in watches.at_or_above(path.as_str()) {
                if self.may_see(watch.conn, path, before, after) {
                    self.push(watch, at, path.as_str());
                }
            }
            if matches!(op, NodeOp::Set { .. }) {
                continue;
            }
            for (at, watch) in watches.below(path.as_str()) {
                let Ok(below) = Path::absolute(at) else { continue };
                if before.get(&below).is_some() && self.may_see(watch.conn, &below, before, after) {
                    self.push(watch, at, at);
                }
            }
        }
    }

    /// A special event has happened.
    pub fn fire_special(&mut self, event: Special) {
        let perms = self.state.special(event);
        for (at, watch) in self.state.watches.at_or_above(event.name()) {
            if self.caller(watch.conn).is_some_and(|caller| perms.allows(caller, Need::Read)) {
                self.push(watch, at, event.name());
            }
        }
    }

    /// A watch was just set: it is triggered once.
    pub fn first(&mut self, watch: &Watch, at: &WatchPath) {
        self.push(watch, at, at);
    }

    fn caller(&self, conn: ConnId) -> Option<Caller> {
        self.state.conns.get(&conn).map(|connection| connection.caller)
    }

    fn may_see(&self, conn: ConnId, path: &Path, before: &Tree, after: &Tree) -> bool {
        let Some(caller) = self.caller(conn) else { return false };
        let readable = |path: &Path| {
            let nodes = [before.get(path), after.get(path)];
            nodes.into_iter().flatten().any(|node| node.perms.allows(caller, Need::Read))
        };
        readable(path) || path.parent().is_some_and(|parent| readable(&parent))
    }

    fn push(&mut self, watch: &Watch, at: &WatchPath, path: &str) {
        let conn = watch.conn;
        let Some(connection) = self.state.conns.get(&conn) else { return };
        if self.muted == Some(conn) {
            return;
        }
        let factor = if connection.caller.is_privileged() { PRIVILEGED_FACTOR } else { 1 };
        let limit = self.state.limits.of(Quota::Events).saturating_mul(factor);
        let waiting = connection.output.events() + self.counts.get(&conn).copied().unwrap_or(0);
        let path = if waiting < limit {
            path
        } else {
            self.overflowed.insert(conn, limit);
            at
        };
        let message = Message::event(watch.shown(path), &watch.token);
        if connection.output.holds_event(&message.payload)
            || !self.known.insert((conn, message.payload.clone()))
        {
            return;
        }
        *self.counts.entry(conn).or_default() += 1;
        self.messages.push((conn, message));
    }
}

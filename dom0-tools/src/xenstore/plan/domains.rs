//! Domains come, shut down and go.

use super::{Batch, Host, Planner, Reply, done, text};
use crate::xenstore::change::{Change, Link, Special};
use crate::xenstore::ids::{ConnId, DomId};
use crate::xenstore::path::Path;
use crate::xenstore::perms::Perms;
use crate::xenstore::refusal::Refusal;
use crate::xenstore::state::State;
use crate::xenstore::tree::NodeOp;
use std::rc::Rc;

/// The changes that follow a domain's end or release: its connection, its nodes and its entries in the permissions
/// of others go, so that a later domain of the same number inherits nothing.
#[must_use]
pub fn departed(state: &State, domid: DomId) -> Vec<Change> {
    let mut events = Batch::new(state);
    let changes = depart(state, domid, &mut events);
    changes.into_iter().chain(events.into_changes()).collect()
}

/// The changes that announce a domain's shutdown.
#[must_use]
pub fn shut_down(state: &State, domid: DomId) -> Vec<Change> {
    let mut events = Batch::new(state);
    events.fire_special(Special::ReleaseDomain);
    let announced = Change::Shutdown { conn: ConnId::Domain(domid), announced: true };
    core::iter::once(announced).chain(events.into_changes()).collect()
}

fn depart(state: &State, domid: DomId, events: &mut Batch<'_>) -> Vec<Change> {
    let conn = ConnId::Domain(domid);
    events.mute(conn);
    let mut changes = vec![Change::Disconnect { conn }];
    for (&other, connection) in &state.conns {
        if connection.caller.target == Some(domid) {
            changes.push(Change::Target { conn: other, target: None });
        }
    }
    for event in Special::ALL {
        let perms = state.special(event);
        let kept = forget(perms, domid);
        if kept != **perms {
            changes.push(Change::Special { event, perms: Rc::new(kept) });
        }
    }
    let (removals, edits) = traces(state, domid);
    let mut after = state.tree.clone();
    for op in &removals {
        after.apply(op);
    }
    events.fire(&state.tree, &after, &removals);
    events.fire_special(Special::ReleaseDomain);
    changes.extend(removals.into_iter().chain(edits).map(Change::Node));
    changes
}

/// The topmost nodes that a domain owns, to be removed, and the other nodes whose permissions name it.
fn traces(state: &State, domid: DomId) -> (Vec<NodeOp>, Vec<NodeOp>) {
    let (mut removals, mut edits): (Vec<NodeOp>, Vec<NodeOp>) = (Vec::new(), Vec::new());
    state.tree.visit(|path, node| {
        if removals.last().is_some_and(|last| path.is_within(last.path())) {
            return;
        }
        if node.perms.owner() == domid && !path.is_root() {
            removals.push(NodeOp::Remove { path: path.clone() });
        } else if node.perms.entries().any(|perm| perm.domid == domid) {
            let (value, perms) = (node.value.clone(), Rc::new(forget(&node.perms, domid)));
            edits.push(NodeOp::Set { path: path.clone(), value, perms });
        }
    });
    (removals, edits)
}

fn forget(perms: &Perms, domid: DomId) -> Perms {
    if perms.owner() == domid { Perms::private(DomId::CONTROL) } else { perms.without(domid) }
}

impl Planner<'_> {
    fn strings<const N: usize>(&self, expected: &'static str) -> Result<[&[u8]; N], Refusal> {
        let strings = self.request.strings().ok_or(Refusal::Malformed(expected))?;
        let some = strings.get(..N).and_then(|some| some.try_into().ok());
        some.ok_or(Refusal::Malformed(expected))
    }

    fn introduced(&self, text: &[u8]) -> Result<(DomId, ConnId), Refusal> {
        let domid = DomId::parse(text).ok_or(Refusal::NoDomain)?;
        let conn = ConnId::Domain(domid);
        if self.state.conns.contains_key(&conn) {
            return Ok((domid, conn));
        }
        Err(Refusal::NotIntroduced(domid))
    }

    pub(super) fn domain_path(&mut self) -> Reply {
        let [domid] = self.strings("a domain is expected")?;
        text(Path::home(DomId::parse(domid).ok_or(Refusal::NoDomain)?).as_str())
    }

    pub(super) fn introduce(&mut self, host: &mut dyn Host) -> Reply {
        self.control_only("INTRODUCE")?;
        let expected = "a domain, a frame and an event channel are expected";
        let [domid, gfn, port] = self.strings(expected)?;
        let domid = DomId::parse(domid).filter(|&domid| domid != DomId::CONTROL).ok_or(Refusal::NoDomain)?;
        let number = |text: &[u8]| core::str::from_utf8(text).ok()?.parse::<i64>().ok();
        let (gfn, port) = number(gfn).zip(number(port)).ok_or(Refusal::Malformed(expected))?;
        let port = u32::try_from(port).ok().filter(|&port| port > 0);
        let port = port.ok_or(Refusal::Malformed("an event channel's number is positive"))?;
        // The frame is printed as a signed number by some tools; its bits are what counts.
        let link = Link { gfn: gfn.cast_unsigned(), port };
        host.attach(domid, link).map_err(|why| Refusal::Unattached(domid, why))?;
        let conn = ConnId::Domain(domid);
        if self.state.conns.contains_key(&conn) {
            self.changes.push(Change::Reset { conn, link: Some(link) });
        } else {
            self.changes.push(Change::Connect { conn, link: Some(link) });
            self.events.fire_special(Special::IntroduceDomain);
        }
        done()
    }

    pub(super) fn release(&mut self) -> Reply {
        self.control_only("RELEASE")?;
        let [domid] = self.strings("a domain is expected")?;
        let (domid, _) = self.introduced(domid)?;
        if domid == DomId::CONTROL {
            return Err(Refusal::NoDomain);
        }
        let changes = depart(self.state, domid, &mut self.events);
        self.changes.extend(changes);
        done()
    }

    pub(super) fn is_introduced(&mut self) -> Reply {
        self.control_only("IS_DOMAIN_INTRODUCED")?;
        let [domid] = self.strings("a domain is expected")?;
        match self.introduced(domid) {
            Ok(_) => text("T"),
            Err(Refusal::NotIntroduced(_)) => text("F"),
            Err(refusal) => Err(refusal),
        }
    }

    pub(super) fn resume(&mut self) -> Reply {
        self.control_only("RESUME")?;
        let [domid] = self.strings("a domain is expected")?;
        let (_, conn) = self.introduced(domid)?;
        self.changes.push(Change::Shutdown { conn, announced: false });
        done()
    }

    pub(super) fn set_target(&mut self) -> Reply {
        self.control_only("SET_TARGET")?;
        let [domid, target] = self.strings("two domains are expected")?;
        let ((_, conn), (target, _)) = (self.introduced(domid)?, self.introduced(target)?);
        self.changes.push(Change::Target { conn, target: Some(target) });
        done()
    }
}

//! Reading and changing nodes.

use super::{Planner, Reply, done};
use crate::xenstore::change::{Change, Special};
use crate::xenstore::path::Path;
use crate::xenstore::perms::{Need, Perm, Perms};
use crate::xenstore::quota::Quota;
use crate::xenstore::refusal::Refusal;
use crate::xenstore::transaction::Seen;
use crate::xenstore::tree::{Node, NodeOp};
use crate::xenstore::wire::PAYLOAD_MAX;
use std::rc::Rc;

/// Bytes that an entry of a permission list counts for in a node's size.
const PERM_SIZE: usize = 4;

impl<'a> Planner<'a> {
    /// A node that the caller may use for what it wants. If it is not there, the nearest node above decides whether
    /// the caller may learn so.
    fn node(&mut self, path: &Path, need: Need) -> Result<&'a Node, Refusal> {
        if let Some(transaction) = self.transaction {
            self.check(Quota::TransactionNodes, transaction.size() + 1)?;
        }
        self.see(path, Seen::NODE);
        let tree = self.tree();
        let (at, nearest) = tree.nearest(path);
        if !nearest.perms.allows(self.caller, need) {
            return Err(Refusal::Denied(at, need));
        }
        tree.get(path).ok_or_else(|| Refusal::NoNode(path.clone()))
    }

    pub(super) fn read(&mut self) -> Reply {
        let path = self.path_only()?;
        Ok(self.node(&path, Need::Read)?.value.clone())
    }

    fn listing(&mut self, path: &Path) -> Result<(u64, Vec<u8>), Refusal> {
        let node = self.node(path, Need::Read)?;
        self.see(path, Seen::CHILDREN);
        let names = node.names().flat_map(|name| name.bytes().chain([0])).collect();
        Ok((node.children_generation, names))
    }

    pub(super) fn directory(&mut self) -> Reply {
        let path = self.path_only()?;
        let (_, names) = self.listing(&path)?;
        if names.len() > PAYLOAD_MAX {
            return Err(Refusal::ReplyTooLong);
        }
        Ok(names.into())
    }

    /// A piece of a long listing. Whole names only; the last piece ends in one more terminator.
    pub(super) fn directory_part(&mut self) -> Reply {
        let malformed = Refusal::Malformed("a path and an offset are expected");
        let strings = self.request.strings().ok_or(malformed.clone())?;
        let [path, offset] = strings[..] else { return Err(malformed) };
        let path = self.path(path)?;
        let offset: usize =
            core::str::from_utf8(offset).ok().and_then(|text| text.parse().ok()).ok_or(malformed)?;
        let (generation, names) = self.listing(&path)?;
        let mut payload = format!("{generation}\0").into_bytes();
        let rest = names.get(offset..).unwrap_or_default();
        let space = PAYLOAD_MAX - payload.len() - 1;
        if rest.len() <= space {
            payload.extend_from_slice(rest);
            payload.push(0);
        } else {
            let end = rest[..space].iter().rposition(|&byte| byte == 0).map_or(0, |last| last + 1);
            payload.extend_from_slice(&rest[..end]);
        }
        Ok(payload.into())
    }

    pub(super) fn get_perms(&mut self) -> Reply {
        let special = self.request.one_string().and_then(Special::named);
        let perms = match special {
            Some(event) if self.state.special(event).allows(self.caller, Need::Read) => {
                self.state.special(event)
            }
            Some(_) => return Err(Refusal::ControlOnly("reading a special event's permissions")),
            None => {
                let path = self.path_only()?;
                &self.node(&path, Need::Read)?.perms
            }
        };
        Ok(perms.entries().flat_map(|perm| format!("{perm}\0").into_bytes()).collect::<Vec<_>>().into())
    }

    pub(super) fn write(&mut self) -> Reply {
        let (path, value) =
            self.request.string_and_rest().ok_or(Refusal::Malformed("a path and a value are expected"))?;
        let (path, value): (_, Rc<[u8]>) = (self.path(path)?, Rc::from(value));
        let ops = match self.node(&path, Need::Write) {
            Ok(node) => {
                self.check_size(node, value.len())?;
                vec![NodeOp::Set { path, value, perms: node.perms.clone() }]
            }
            Err(Refusal::NoNode(_)) => self.create(&path, &value)?,
            Err(refusal) => return Err(refusal),
        };
        self.change(ops)
    }

    pub(super) fn mkdir(&mut self) -> Reply {
        let path = self.path_only()?;
        match self.node(&path, Need::Write) {
            Ok(_) => done(),
            Err(Refusal::NoNode(_)) => {
                let ops = self.create(&path, &Rc::from([]))?;
                self.change(ops)
            }
            Err(refusal) => Err(refusal),
        }
    }

    pub(super) fn remove(&mut self) -> Reply {
        let path = self.path_only()?;
        match self.node(&path, Need::Write) {
            Ok(_) if path.is_root() => Err(Refusal::Root),
            Ok(_) => {
                self.see(&path, Seen::SUBTREE);
                self.change(vec![NodeOp::Remove { path }])
            }
            Err(Refusal::NoNode(_)) => {
                let parent = path.parent().ok_or(Refusal::Root)?;
                self.see(&parent, Seen::NODE);
                self.tree().get(&parent).ok_or(Refusal::NoNode(parent))?;
                done()
            }
            Err(refusal) => Err(refusal),
        }
    }

    pub(super) fn set_perms(&mut self) -> Reply {
        let strings =
            self.request.strings().ok_or(Refusal::Malformed("a path and permissions are expected"))?;
        let entries: Option<Vec<Perm>> = strings[1..].iter().map(|text| Perm::parse(text)).collect();
        let perms = entries.and_then(|entries| Perms::from_entries(&entries));
        let perms =
            Rc::new(perms.ok_or(Refusal::Malformed("permissions are letters n, r, w, b with a domain"))?);
        self.check(Quota::Permissions, perms.count())?;
        if let Some(event) = Special::named(strings[0]) {
            self.control_only("setting a special event's permissions")?;
            self.changes.push(Change::Special { event, perms });
            return done();
        }
        let path = self.path(strings[0])?;
        let node = self.node(&path, Need::Own)?;
        if !self.caller.is_privileged() && perms.owner() != node.perms.owner() {
            return Err(Refusal::OwnerFixed(path));
        }
        self.change(vec![NodeOp::Set { path, value: node.value.clone(), perms }])
    }

    /// The changes that create a node with every parent it lacks. The nearest node above permits it and is inherited
    /// from.
    fn create(&mut self, path: &Path, value: &Rc<[u8]>) -> Result<Vec<NodeOp>, Refusal> {
        let tree = self.tree();
        let (mut at, nearest) = tree.nearest(path);
        self.see(&at, Seen::NODE);
        let perms = Rc::new(nearest.perms.inherited_by(self.caller));
        let missing: Vec<&str> = path.names().skip(at.names().count()).collect();
        self.check(Quota::Nodes, tree.owned_by(self.caller.domid) + missing.len())?;
        self.check(Quota::NodeSize, value.len() + perms.count() * PERM_SIZE)?;
        if let Some(first) = missing.first() {
            self.check_size(nearest, nearest.value.len() + first.len() + 1)?;
        }
        let mut ops = Vec::new();
        for (index, name) in missing.iter().enumerate() {
            at = at.child(name);
            self.see(&at, Seen::NODE);
            let value = if index + 1 == missing.len() { value.clone() } else { Rc::from([]) };
            ops.push(NodeOp::Set { path: at.clone(), value, perms: perms.clone() });
        }
        Ok(ops)
    }

    fn check_size(&self, node: &Node, value: usize) -> Result<(), Refusal> {
        let names: usize = node.names().map(|name| name.len() + 1).sum();
        self.check(Quota::NodeSize, value + names + node.perms.count() * PERM_SIZE)
    }

    /// Makes the changes, within the transaction if there is one.
    fn change(&mut self, ops: Vec<NodeOp>) -> Reply {
        if let Some(transaction) = self.transaction {
            self.check(Quota::TransactionNodes, transaction.size() + ops.len())?;
            let (conn, tx) = (self.conn, self.request.tx_id);
            self.changes.extend(ops.into_iter().map(|op| Change::Edit { conn, tx, op }));
        } else {
            self.make(ops)?;
        }
        done()
    }

    /// Makes the changes to the store itself.
    pub(super) fn make(&mut self, ops: Vec<NodeOp>) -> Result<(), Refusal> {
        let before = &self.state.tree;
        let mut after = before.clone();
        for op in &ops {
            if !after.apply(op) {
                return Err(Refusal::Conflict(op.path().clone()));
            }
        }
        let owned = after.owned_by(self.caller.domid);
        if owned > before.owned_by(self.caller.domid) {
            self.check(Quota::Nodes, owned)?;
        }
        self.events.fire(before, &after, &ops);
        self.changes.extend(ops.into_iter().map(Change::Node));
        Ok(())
    }
}

//! Transactions: a snapshot, the changes made to it, and what was seen of it.
//!
//! A commit is optimistic: it succeeds if nothing that the transaction saw has changed since it began, and then the
//! changes are made again, in order, to the store of now. What was only seen in passing does not count: adding a
//! child conflicts with a listing of the parent's children, not with another child. A transaction that changed
//! nothing always succeeds, since its snapshot was consistent.

use super::path::Path;
use super::tree::{NodeOp, Tree};
use std::collections::BTreeMap;

/// How much of a node a transaction depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The node itself: value, permissions, whether it is there.
    pub node: bool,
    /// The list of its children.
    pub children: bool,
    /// Everything below it.
    pub subtree: bool,
}

/// One open transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    base: Tree,
    work: Tree,
    seen: BTreeMap<Path, Seen>,
    ops: Vec<NodeOp>,
    /// The last `Set` of a path in `ops`, as long as nothing was removed after it.
    last_set: BTreeMap<Path, usize>,
    /// What the daemon that was killed knew and this one does not: it can only fail.
    doomed: bool,
}

impl Seen {
    /// A read of the node.
    pub const NODE: Self = Self { node: true, children: false, subtree: false };
    /// A listing of its children.
    pub const CHILDREN: Self = Self { node: false, children: true, subtree: false };
    /// A removal.
    pub const SUBTREE: Self = Self { node: true, children: false, subtree: true };

    fn with(self, other: Self) -> Self {
        Self {
            node: self.node | other.node,
            children: self.children | other.children,
            subtree: self.subtree | other.subtree,
        }
    }

    /// Whether a change of another client would invalidate what was seen of `path`.
    #[must_use]
    pub fn is_hit_by(self, path: &Path, op: &NodeOp) -> bool {
        match op {
            NodeOp::Set { path: changed, .. } => {
                changed == path
                    || self.children && changed.parent().as_ref() == Some(path)
                    || self.subtree && changed.is_within(path)
            }
            NodeOp::Remove { path: gone } => {
                path.is_within(gone)
                    || self.children && gone.parent().as_ref() == Some(path)
                    || self.subtree && gone.is_within(path)
            }
        }
    }

    fn is_same(self, path: &Path, then: &Tree, now: &Tree) -> bool {
        match (then.get(path), now.get(path)) {
            (None, None) => true,
            (Some(then), Some(now)) => {
                (!self.node || then.generation == now.generation)
                    && (!self.children || then.children_generation == now.children_generation)
                    && (!self.subtree || then.subtree_generation == now.subtree_generation)
            }
            _ => false,
        }
    }
}

impl Transaction {
    /// Begins on the store as it is.
    #[must_use]
    pub fn begin(store: &Tree) -> Self {
        Self {
            base: store.clone(),
            work: store.clone(),
            seen: BTreeMap::new(),
            ops: Vec::new(),
            last_set: BTreeMap::new(),
            doomed: false,
        }
    }

    /// What reads within the transaction see.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.work
    }

    /// The changes made so far, in order.
    #[must_use]
    pub fn ops(&self) -> &[NodeOp] {
        &self.ops
    }

    /// What it depends on so far.
    pub fn seen(&self) -> impl Iterator<Item = (&Path, Seen)> {
        self.seen.iter().map(|(path, seen)| (path, *seen))
    }

    /// Number of nodes it depends on or changes: what the quota counts.
    #[must_use]
    pub fn size(&self) -> usize {
        self.seen.len().max(self.ops.len())
    }

    /// Notes that the transaction depends on a node.
    pub fn note(&mut self, path: &Path, what: Seen) {
        let seen = self.seen.entry(path.clone()).or_default();
        *seen = seen.with(what);
    }

    /// Makes a change within the transaction.
    pub fn apply(&mut self, op: &NodeOp) {
        if !self.work.apply(op) {
            return;
        }
        match op {
            NodeOp::Set { path, .. } => match self.last_set.get(path) {
                Some(&at) => self.ops[at] = op.clone(),
                None => {
                    self.last_set.insert(path.clone(), self.ops.len());
                    self.ops.push(op.clone());
                }
            },
            NodeOp::Remove { .. } => {
                self.last_set.clear();
                self.ops.push(op.clone());
            }
        }
    }

    /// Begins again after a restart of the daemon: the changes survived, what was seen did not. The client gets
    /// EAGAIN at the end, as after any conflict.
    pub fn doom(&mut self) {
        self.doomed = true;
    }

    /// The first path whose change by somebody else forbids the commit.
    #[must_use]
    pub fn conflict(&self, now: &Tree) -> Option<Path> {
        if self.ops.is_empty() {
            return None;
        }
        if self.doomed {
            return self.ops.first().map(|op| op.path().clone());
        }
        self.seen
            .iter()
            .find(|(path, seen)| !seen.is_same(path, &self.base, now))
            .map(|(path, _)| path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xenstore::ids::DomId;
    use crate::xenstore::perms::Perms;
    use std::rc::Rc;

    fn path(text: &str) -> Path {
        Path::absolute(text).unwrap()
    }

    fn set(text: &str) -> NodeOp {
        NodeOp::Set {
            path: path(text),
            value: Rc::from(text.as_bytes()),
            perms: Rc::new(Perms::private(DomId(1))),
        }
    }

    fn remove(text: &str) -> NodeOp {
        NodeOp::Remove { path: path(text) }
    }

    fn store(paths: &[&str]) -> Tree {
        let mut tree = Tree::new(0);
        for text in paths {
            assert!(tree.apply(&set(text)));
        }
        tree
    }

    /// A transaction that saw `seen` and wrote something, then `op` by somebody else: is that a conflict?
    fn conflicts(seen: (&str, Seen), op: &NodeOp) -> bool {
        let mut now = store(&["/a", "/a/b", "/a/b/c", "/mine"]);
        let mut transaction = Transaction::begin(&now);
        transaction.note(&path(seen.0), seen.1);
        transaction.apply(&set("/mine"));
        assert!(now.apply(op));
        let found = transaction.conflict(&now).is_some();
        if found {
            assert!(seen.1.is_hit_by(&path(seen.0), op), "the forecast names every conflict");
        }
        found
    }

    #[test]
    fn what_conflicts() {
        assert!(conflicts(("/a", Seen::NODE), &set("/a")));
        assert!(!conflicts(("/a", Seen::NODE), &set("/a/x")));
        assert!(!conflicts(("/a", Seen::NODE), &set("/a/b")));
        assert!(conflicts(("/a", Seen::NODE), &remove("/a")));
        assert!(conflicts(("/a/b", Seen::NODE), &remove("/a")));
        assert!(conflicts(("/a/x", Seen::NODE), &set("/a/x")), "what was absent appears");
        assert!(conflicts(("/a", Seen::CHILDREN), &set("/a/x")));
        assert!(conflicts(("/a", Seen::CHILDREN), &remove("/a/b")));
        assert!(!conflicts(("/a", Seen::CHILDREN), &set("/a/b")), "same names, another value");
        assert!(conflicts(("/a", Seen::SUBTREE), &set("/a/b/c")));
        assert!(!conflicts(("/a/b", Seen::SUBTREE), &set("/a/x")));
    }

    #[test]
    fn without_changes_no_conflict() {
        let mut now = store(&["/a"]);
        let mut transaction = Transaction::begin(&now);
        transaction.note(&path("/a"), Seen::NODE);
        now.apply(&set("/a"));
        assert_eq!(transaction.conflict(&now), None);
    }

    #[test]
    fn repeated_writes_fold() {
        let mut transaction = Transaction::begin(&store(&[]));
        for op in [set("/a"), set("/b"), set("/a"), remove("/b"), set("/a"), set("/b")] {
            transaction.apply(&op);
        }
        assert_eq!(transaction.ops(), [set("/a"), set("/b"), remove("/b"), set("/a"), set("/b")]);
    }
}

//! The tree of nodes, as a persistent structure.
//!
//! A clone of a [`Tree`] shares every node with the original; a change copies the path from the root to the node
//! changed and nothing else, and copies nothing where no clone is alive. So a transaction's snapshot costs one
//! counter increment.
//!
//! Generations: every change takes the next number of the tree's counter. A node remembers the last change of
//! itself, of its list of children, and of anything in its subtree; a transaction compares them to find conflicts.
//!
//! Invariants: `owned` holds the number of nodes of every domain that owns any; generations never go back.

use super::ids::DomId;
use super::path::Path;
use super::perms::Perms;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// The octets stored.
    pub value: Rc<[u8]>,
    /// Who may do what.
    pub perms: Rc<Perms>,
    /// The last change of value or permissions, or the creation.
    pub generation: u64,
    /// The last time a child came or went.
    pub children_generation: u64,
    /// The last change in the subtree, the node itself included.
    pub subtree_generation: u64,
    children: BTreeMap<Rc<str>, Rc<Node>>,
}

/// One change of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeOp {
    /// Gives a node its value and permissions, and creates it if it is not there. Its parent is there.
    Set {
        /// Which node.
        path: Path,
        /// Its value.
        value: Rc<[u8]>,
        /// Its permissions.
        perms: Rc<Perms>,
    },
    /// Removes a node with everything below it.
    Remove {
        /// Which node.
        path: Path,
    },
}

impl NodeOp {
    /// The node changed.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Set { path, .. } | Self::Remove { path } => path,
        }
    }
}

/// The whole store.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Rc<Node>,
    owned: Rc<BTreeMap<DomId, usize>>,
    generation: u64,
}

impl Node {
    fn new(value: Rc<[u8]>, perms: Rc<Perms>, generation: u64) -> Self {
        Self {
            value,
            perms,
            generation,
            children_generation: generation,
            subtree_generation: generation,
            children: BTreeMap::new(),
        }
    }

    /// The names of the children, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.children.keys().map(|name| &**name)
    }

    /// Whether there is a child of that name.
    #[must_use]
    pub fn has_child(&self, name: &str) -> bool {
        self.children.contains_key(name)
    }

    fn visit<'a>(&'a self, path: Path, visit: &mut impl FnMut(&Path, &'a Node)) {
        visit(&path, self);
        for (name, child) in &self.children {
            child.visit(path.child(name), visit);
        }
    }

    fn count_owners(&self, owners: &mut BTreeMap<DomId, usize>) {
        *owners.entry(self.perms.owner()).or_default() += 1;
        for child in self.children.values() {
            child.count_owners(owners);
        }
    }
}

impl Tree {
    /// A tree that holds the root only, owned by domain 0 and private. Generations start above `generation`.
    #[must_use]
    pub fn new(generation: u64) -> Self {
        let root = Node::new(Rc::from([]), Rc::new(Perms::private(DomId::CONTROL)), generation);
        Self { root: Rc::new(root), owned: Rc::new(BTreeMap::from([(DomId::CONTROL, 1)])), generation }
    }

    /// The number of the last change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Lifts the counter, so that no number given out before is given out again.
    pub fn skip_generations(&mut self, to: u64) {
        self.generation = self.generation.max(to);
    }

    /// Looks a node up.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Node> {
        path.names().try_fold(&*self.root, |node, name| node.children.get(name).map(|child| &**child))
    }

    /// The last node that is there on the way to `path`, and its path: the node itself if it is there.
    #[must_use]
    pub fn nearest(&self, path: &Path) -> (Path, &Node) {
        let (mut at, mut node) = (Path::root(), &*self.root);
        for name in path.names() {
            let Some(child) = node.children.get(name) else { break };
            (at, node) = (at.child(name), child);
        }
        (at, node)
    }

    /// Number of nodes that `domid` owns.
    #[must_use]
    pub fn owned_by(&self, domid: DomId) -> usize {
        self.owned.get(&domid).copied().unwrap_or(0)
    }

    /// Every node, parents before children.
    pub fn visit<'a>(&'a self, mut visit: impl FnMut(&Path, &'a Node)) {
        self.root.visit(Path::root(), &mut visit);
    }

    /// Every node from `path` down, parents before children; none if it is not there.
    pub fn visit_below<'a>(&'a self, path: &Path, mut visit: impl FnMut(&Path, &'a Node)) {
        if let Some(node) = self.get(path) {
            node.visit(path.clone(), &mut visit);
        }
    }

    /// Makes a change. Tells whether it was possible: a node without a parent cannot be set, and the root cannot be
    /// removed, nor what is not there.
    pub fn apply(&mut self, op: &NodeOp) -> bool {
        match op {
            NodeOp::Set { path, value, perms } => self.set(path, value, perms),
            NodeOp::Remove { path } => self.remove(path),
        }
    }

    fn set(&mut self, path: &Path, value: &Rc<[u8]>, perms: &Rc<Perms>) -> bool {
        let is_new = match (self.get(path), path.parent()) {
            (Some(_), _) => false,
            (None, Some(parent)) if self.get(&parent).is_some() => true,
            (None, _) => return false,
        };
        let generation = self.next_generation();
        let Some((parent, leaf)) = self.open(path, generation) else {
            let root = Rc::make_mut(&mut self.root);
            let before = root.perms.owner();
            (root.value, root.perms, root.generation) = (value.clone(), perms.clone(), generation);
            self.charge(perms.owner(), Some(before));
            return true;
        };
        if is_new {
            parent.children_generation = generation;
            let node = Node::new(value.clone(), perms.clone(), generation);
            parent.children.insert(Rc::from(leaf), Rc::new(node));
            self.charge(perms.owner(), None);
        } else if let Some(slot) = parent.children.get_mut(leaf) {
            let node = Rc::make_mut(slot);
            let before = node.perms.owner();
            (node.value, node.perms) = (value.clone(), perms.clone());
            (node.generation, node.subtree_generation) = (generation, generation);
            self.charge(perms.owner(), Some(before));
        }
        true
    }

    fn remove(&mut self, path: &Path) -> bool {
        if path.is_root() || self.get(path).is_none() {
            return false;
        }
        let generation = self.next_generation();
        let Some((parent, leaf)) = self.open(path, generation) else { return false };
        parent.children_generation = generation;
        if let Some(node) = parent.children.remove(leaf) {
            let mut gone = BTreeMap::new();
            node.count_owners(&mut gone);
            let owned = Rc::make_mut(&mut self.owned);
            for (domid, count) in gone {
                release(owned, domid, count);
            }
        }
        true
    }

    /// Unshares the way to the parent of `path`, marks it changed, and gives the parent and the last name. `None`
    /// for the root and where there is no parent.
    fn open<'a, 'p>(&'a mut self, path: &'p Path, generation: u64) -> Option<(&'a mut Node, &'p str)> {
        let mut node = Rc::make_mut(&mut self.root);
        node.subtree_generation = generation;
        let mut names = path.names().peekable();
        loop {
            let name = names.next()?;
            if names.peek().is_none() {
                return Some((node, name));
            }
            node = Rc::make_mut(node.children.get_mut(name)?);
            node.subtree_generation = generation;
        }
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    fn charge(&mut self, owner: DomId, before: Option<DomId>) {
        if before == Some(owner) {
            return;
        }
        let owned = Rc::make_mut(&mut self.owned);
        *owned.entry(owner).or_default() += 1;
        if let Some(before) = before {
            release(owned, before, 1);
        }
    }

    /// Counts afresh and compares: what the CONTROL command `check` and the tests ask.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let mut owners = BTreeMap::new();
        self.root.count_owners(&mut owners);
        let mut ordered = true;
        self.visit(|_, node| {
            let own = node.generation.max(node.children_generation);
            let below = node.children.values().map(|child| child.subtree_generation).max().unwrap_or(0);
            ordered &=
                own.max(below) <= node.subtree_generation && node.subtree_generation <= self.generation;
        });
        ordered && owners == *self.owned
    }
}

fn release(owned: &mut BTreeMap<DomId, usize>, domid: DomId, count: usize) {
    if let Some(left) = owned.get_mut(&domid) {
        *left = left.saturating_sub(count);
        if *left == 0 {
            owned.remove(&domid);
        }
    }
}

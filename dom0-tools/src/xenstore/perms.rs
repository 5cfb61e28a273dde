//! Permissions of nodes.
//!
//! A node carries a list of entries. The first names the owner, who may do everything, and what everybody not
//! named further on may do; each further entry says what one domain may do. Domain 0 may do everything. A domain
//! with a target (a device model) may also do what its target may.

use super::ids::DomId;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What an entry permits: the letters `n`, `r`, `w`, `b` of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Both.
    Both,
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To read value, children or permissions.
    Read,
    /// To change the value, to add a child, to remove.
    Write,
    /// To change permissions.
    Own,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perm {
    /// The domain it is about.
    pub domid: DomId,
    /// What it permits.
    pub access: Access,
}

/// The list of a node; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perms {
    first: Perm,
    others: Vec<Perm>,
}

/// In whose name a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The domain itself.
    pub domid: DomId,
    /// The domain whose rights it has beside its own (SET_TARGET).
    pub target: Option<DomId>,
}

impl Caller {
    /// Whether nothing is forbidden to the caller and no quota holds for it.
    #[must_use]
    pub fn is_privileged(self) -> bool {
        self.domid == DomId::CONTROL
    }

    fn is(self, domid: DomId) -> bool {
        self.domid == domid || self.target == Some(domid)
    }
}

impl Access {
    fn permits(self, need: Need) -> bool {
        match need {
            Need::Read => matches!(self, Self::Read | Self::Both),
            Need::Write => matches!(self, Self::Write | Self::Both),
            Need::Own => false,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::None => 'n',
            Self::Read => 'r',
            Self::Write => 'w',
            Self::Both => 'b',
        }
    }
}

impl Perm {
    /// Reads the protocol's form: a letter and a decimal domain number.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (&letter, digits) = text.split_first()?;
        let access = match letter {
            b'n' => Access::None,
            b'r' => Access::Read,
            b'w' => Access::Write,
            b'b' => Access::Both,
            _ => return None,
        };
        Some(Self { domid: DomId::parse(digits)?, access })
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.access.letter(), self.domid.0)
    }
}

impl Perms {
    /// What only `owner` (and domain 0) may touch.
    #[must_use]
    pub fn private(owner: DomId) -> Self {
        Self { first: Perm { domid: owner, access: Access::None }, others: Vec::new() }
    }

    /// A list from its entries, the owner's first; `None` if there is none.
    #[must_use]
    pub fn from_entries(entries: &[Perm]) -> Option<Self> {
        let (&first, others) = entries.split_first()?;
        Some(Self { first, others: others.to_vec() })
    }

    /// Every entry, the owner's first.
    pub fn entries(&self) -> impl Iterator<Item = &Perm> {
        core::iter::once(&self.first).chain(&self.others)
    }

    /// Number of entries, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Who owns the node and is charged for it.
    #[must_use]
    pub fn owner(&self) -> DomId {
        self.first.domid
    }

    /// What a node created by `creator` below one with this list gets: the same list, owned by the creator unless
    /// that is domain 0.
    #[must_use]
    pub fn inherited_by(&self, creator: Caller) -> Self {
        let mut list = self.clone();
        if !creator.is_privileged() {
            list.first.domid = creator.domid;
        }
        list
    }

    /// The list once `gone` has ceased to exist: its entries fall away. Its nodes go before that.
    #[must_use]
    pub fn without(&self, gone: DomId) -> Self {
        let others = self.others.iter().filter(|perm| perm.domid != gone).copied().collect();
        Self { first: self.first, others }
    }

    /// Whether the caller may do what needs `need`.
    #[must_use]
    pub fn allows(&self, caller: Caller, need: Need) -> bool {
        if caller.is_privileged() || caller.is(self.owner()) {
            return true;
        }
        let named = self.others.iter().find(|perm| caller.is(perm.domid));
        named.unwrap_or(&self.first).access.permits(need)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perms(texts: &[&str]) -> Perms {
        let entries: Vec<_> = texts.iter().map(|text| Perm::parse(text.as_bytes()).unwrap()).collect();
        Perms::from_entries(&entries).unwrap()
    }

    fn guest(number: u16) -> Caller {
        Caller { domid: DomId(number), target: None }
    }

    #[test]
    fn texts() {
        for text in ["n0", "r1", "w2", "b32751"] {
            assert_eq!(Perm::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for text in ["", "n", "x1", "r-1", "r65536", "r32752", "r1x", "r+1"] {
            assert_eq!(Perm::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn rules() {
        let list = perms(&["r1", "b2", "n3", "w4"]);
        let may = |who, need| list.allows(who, need);
        assert!(may(guest(0), Need::Own) && may(guest(1), Need::Own));
        assert!(may(guest(2), Need::Read) && may(guest(2), Need::Write) && !may(guest(2), Need::Own));
        assert!(!may(guest(3), Need::Read) && !may(guest(3), Need::Write));
        assert!(!may(guest(4), Need::Read) && may(guest(4), Need::Write));
        assert!(may(guest(5), Need::Read) && !may(guest(5), Need::Write), "the default is the first letter");
        let model = Caller { domid: DomId(9), target: Some(DomId(1)) };
        assert!(may(model, Need::Own));
    }

    #[test]
    fn inheritance() {
        let list = perms(&["r0", "b2"]);
        assert_eq!(list.inherited_by(guest(0)), list);
        assert_eq!(list.inherited_by(guest(7)), perms(&["r7", "b2"]));
        assert_eq!(list.without(DomId(2)), perms(&["r0"]));
    }
}

//! What one domain may use of the store. Domain 0 is free of quotas.

use core::fmt;
use hypercall_abi::errno::Errno;
use serde::{Deserialize, Serialize};

/// A limited resource, by the name that `xenstore-control quota` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Quota {
    /// Nodes that a domain owns.
    Nodes,
    /// Bytes of a node: value, permissions and the names of its children.
    NodeSize,
    /// Watches of a domain.
    Watches,
    /// Transactions open at once.
    Transactions,
    /// Nodes read or written in one transaction.
    TransactionNodes,
    /// Requests whose replies the domain has not taken yet; the next one waits.
    Outstanding,
    /// Watch events that the domain has not taken yet; beyond that a watch gets one event for its own path.
    Events,
    /// Entries of a permission list.
    Permissions,
    /// Bytes of a path.
    PathLength,
}

impl Quota {
    /// All of them with their names and default limits.
    pub const ALL: [(Self, &'static str, usize); 9] = [
        (Self::Nodes, "nodes", 1000),
        (Self::NodeSize, "node-size", 2048),
        (Self::Watches, "watches", 128),
        (Self::Transactions, "transactions", 10),
        (Self::TransactionNodes, "transaction-nodes", 1024),
        (Self::Outstanding, "outstanding", 20),
        (Self::Events, "events", 1024),
        (Self::Permissions, "node-permissions", 5),
        (Self::PathLength, "path-max", super::path::ABS_PATH_MAX),
    ];

    /// The quota of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, its, _)| *its == name).map(|(quota, ..)| *quota)
    }

    /// What the caller sees when the limit is reached.
    #[must_use]
    pub fn errno(self) -> Errno {
        match self {
            Self::PathLength => Errno::EINVAL,
            _ => Errno::ENOSPC,
        }
    }

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The limits in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits([usize; Quota::ALL.len()]);

impl Default for Limits {
    fn default() -> Self {
        Self(Quota::ALL.map(|(_, _, limit)| limit))
    }
}

impl Limits {
    /// One limit.
    #[must_use]
    pub fn of(&self, quota: Quota) -> usize {
        self.0[quota as usize]
    }

    /// Changes one limit.
    pub fn set(&mut self, quota: Quota, limit: usize) {
        self.0[quota as usize] = limit;
    }

    /// Whether `used` of something is within its limit.
    #[must_use]
    pub fn permits(&self, quota: Quota, used: usize) -> bool {
        used <= self.of(quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_enum() {
        for (index, (quota, name, limit)) in Quota::ALL.iter().enumerate() {
            assert_eq!(*quota as usize, index);
            assert_eq!(Quota::named(name), Some(*quota));
            assert_eq!(Limits::default().of(*quota), *limit);
        }
    }
}

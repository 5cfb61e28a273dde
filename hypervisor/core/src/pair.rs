//! One or two locked tables for an operation between two domains.
//!
//! Who builds a [`Pair`] holds the locks of both tables, taken in the order of the domain ids; a domain that talks to
//! itself has only one table to lock, and the type says so instead of deadlocking.

/// The tables of the domain that asks (`local`) and of the one it asks about (`remote`).
#[derive(Debug)]
pub enum Pair<'a, T> {
    /// Both are the same domain.
    Same(&'a mut T),
    /// Two domains, both locked.
    Two {
        /// The table of the domain that asks.
        local: &'a mut T,
        /// The table of the other domain.
        remote: &'a mut T,
    },
}

impl<T> Pair<'_, T> {
    /// The table of the domain that asks.
    pub fn local(&self) -> &T {
        match self {
            Self::Same(table) => table,
            Self::Two { local, .. } => local,
        }
    }

    /// The table of the other domain.
    pub fn remote(&self) -> &T {
        match self {
            Self::Same(table) => table,
            Self::Two { remote, .. } => remote,
        }
    }

    /// The table of the domain that asks, to change.
    #[must_use]
    pub fn local_mut(&mut self) -> &mut T {
        match self {
            Self::Same(table) => table,
            Self::Two { local, .. } => local,
        }
    }

    /// The table of the other domain, to change.
    #[must_use]
    pub fn remote_mut(&mut self) -> &mut T {
        match self {
            Self::Same(table) => table,
            Self::Two { remote, .. } => remote,
        }
    }
}

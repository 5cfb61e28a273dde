//! The xenstore daemon: the tree of nodes through which domains and tools find each other.
//!
//! From the inside out:
//!
//! - [`tree`], [`perms`], [`watch`], [`transaction`], [`quota`]: the store, pure; [`wire`]: messages, pure;
//! - [`state`]: all that the daemon knows; it alters by [`change`]s alone, which the [`journal`] records;
//! - [`plan`]: from a request to the batch of changes that answers it;
//! - [`daemon`]: recording, applying, rings, domains; `fairness`, [`ring`] serve it. What a kill cannot break, and
//!   why, is written there;
//! - [`server`]: the event loop with its sockets; [`machine`]: Linux's Xen devices; `cli`: the command line.

pub mod change;
mod cli;
pub mod daemon;
pub mod fairness;
pub mod ids;
pub mod journal;
pub mod machine;
pub mod nothing;
pub mod path;
pub mod perms;
pub mod plan;
pub mod queue;
pub mod quota;
pub mod refusal;
pub mod ring;
pub mod server;
pub mod state;
pub mod transaction;
pub mod tree;
pub mod watch;
pub mod wire;

pub use cli::main;

#[cfg(test)]
mod tests;

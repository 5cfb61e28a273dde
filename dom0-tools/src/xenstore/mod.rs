//! The store of Tenon's domains.
pub mod change;
pub mod ids;
pub mod path;
pub mod perms;
pub mod plan;
pub mod queue;
pub mod quota;
pub mod refusal;
pub mod state;
pub mod transaction;
pub mod tree;
pub mod watch;
pub mod wire;

#[cfg(test)]
mod tests;

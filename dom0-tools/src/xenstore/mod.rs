//! The store of Tenon's domains.
pub mod change;
pub mod daemon;
pub mod fairness;
pub mod ids;
pub mod journal;
pub mod path;
pub mod perms;
pub mod plan;
pub mod queue;
pub mod quota;
pub mod refusal;
pub mod ring;
pub mod state;
pub mod transaction;
pub mod tree;
pub mod watch;
pub mod wire;

#[cfg(test)]
mod tests;

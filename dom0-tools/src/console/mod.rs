//! The console daemon: every guest's console logged, and usable on a pseudo terminal.

pub mod backlog;
pub mod budget;
pub mod daemon;
pub mod guest;
pub mod links;
pub mod log;
pub mod ring;
pub mod terminal;

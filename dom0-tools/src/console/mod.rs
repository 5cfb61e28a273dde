//! The console daemon.

pub mod ring;

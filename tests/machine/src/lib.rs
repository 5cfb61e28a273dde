//! Whole machines under an emulator: starting them, talking to them, and the scenarios they must pass.
//!
//! Nothing here sleeps for a time: every wait is for an event and has a deadline. The caller makes the
//! images ([`Images`]) and picks the scenarios; `cargo xtask test` and `cargo xtask run` are the callers.

pub mod bochs;
pub mod channel;
pub mod config;
pub mod dom0;
pub mod guest;
pub mod machine;
pub mod qemu;
pub mod runner;
pub mod scenarios;
mod screen;
mod stale_int3;

pub use config::{Boot, Config, Disk, Dom0Files, Hypervisor, Images, Model};
pub use machine::Machine;

//! Disks that a process of domain 0 serves: the daemon `tenon-blockd`.
//!
//! ```text
//! daemon      which back halves there are in xenstore
//! device      what state each is in
//! connection  what the two halves agreed on; a thread for each ring
//! queue       a ring's requests: taken, done, answered
//! ring        the pages shared with the guest          request  what is in them
//! memory      the guest's pages that its requests name
//! ledger      what was taken and not answered, for the daemon after us
//! image       what is in the file                      engine   reading and writing it
//! ```
//!
//! The daemon may be killed at any instruction. What it needs to go on is in xenstore, in the guest's ring and in the
//! ledgers; [`ledger`] argues why nothing is lost. A thread serves one ring, so the kernel's scheduler is what shares
//! the CPUs among guests.

pub mod connection;
pub mod daemon;
mod device;
pub mod engine;
pub mod image;
pub mod ledger;
pub mod memory;
pub mod queue;
pub mod request;
pub mod ring;

//! IOMMUs: what their registers, tables, commands and reports say. Nothing here touches one.
//!
//! The tables that translate are the walker's ([`Dma`](crate::p2m::Dma)), kept by the domain's memory
//! (`domain/memory/space.rs`). The kernel's `iommu` module drives the units with what is here. The whole story is in
//! `docs/src/internals/iommu.md`.

pub mod amd;
mod fault;
#[cfg(test)]
mod tests;
pub mod vtd;

pub use fault::{Fault, FaultLimit, Reason};

use crate::frame::Gfn;

/// The name by which the units' caches know domain 0. (Some units keep 0 for themselves.)
pub const DOMAIN: u16 = 1;

/// Commands that a unit's queue holds, and bytes of a command: each queue is one page.
pub const QUEUE_LEN: usize = 256;
/// See [`QUEUE_LEN`].
pub const COMMAND_LEN: usize = 16;

/// A command, as the two words of a unit's queue.
pub type Command = [u64; 2];

/// A naturally aligned run of `1 << order` guest frames whose translation has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DmaRun {
    /// The first.
    pub gfn: Gfn,
    /// log2 of their number.
    pub order: u32,
}

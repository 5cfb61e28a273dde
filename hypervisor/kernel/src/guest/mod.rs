//! What the two backends share.
//!
//! - `switched`: the registers that neither switches
//! - `permissions`: the ports and MSRs that need no exit
//! - `tags`: TLB tags

pub mod permissions;
mod switched;
mod tags;

pub use switched::{SwitchedState, init_this_cpu, xcr0_mask};
pub use tags::Tags;

//! What the two backends share of a vCPU's hardware state.

mod switched;

pub use switched::{SwitchedState, xcr0_mask};

//! What the two backends share of a vCPU's hardware state.

mod switched;

pub use switched::{SwitchedState, init_this_cpu, xcr0_mask};

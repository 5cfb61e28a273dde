//! VT-x with EPT and unrestricted guest: one of the two backends behind [`GuestCpu`](tenon_core::guest_cpu::GuestCpu).
//!
//! - `capabilities`, `cpu`: what the CPU can do; turning it on, per CPU
//! - `vmcs`, `fields`: the control structure: its life, its fields
//! - `vcpu`, `state`: a vCPU: the trait's implementation, and its system registers
//! - `loose`: the registers that no VMCS holds
//! - `entry`: into the guest and back
//! - `exits`, `events`: what an exit means, what an entry delivers
//! - `check`, `errors`: which guest state is impossible; why an instruction of VT-x failed
//! - `permissions`, `tlb`: the MSR map; TLB tags and invalidations
//!
//! Reference: Intel Software Developer's Manual, volume 3, chapters 24 to 31 and appendices A to C.

mod capabilities;
mod check;
mod cpu;
mod entry;
mod errors;
mod events;
mod exits;
mod fields;
mod loose;
mod permissions;
mod state;
mod tlb;
mod vcpu;
mod vmcs;

pub use cpu::{Unusable, capabilities, enable, prepare};
pub use vcpu::VmxVcpu;

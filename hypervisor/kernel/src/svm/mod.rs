//! AMD-V with nested paging: one of the two backends behind [`GuestCpu`](tenon_core::guest_cpu::GuestCpu).
//!
//! - `cpu`: turning it on, per CPU
//! - `vmcb`: the control block
//! - `vcpu`: a vCPU: the trait's implementation
//! - `entry`: into the guest and back
//! - `exits`: what an exit means
//! - `permissions`: the MSR map
//!
//! Reference: AMD64 Architecture Programmer's Manual, volume 2, chapter 15.

mod cpu;
mod entry;
mod exits;
mod permissions;
mod vcpu;
mod vmcb;

pub use cpu::{Unusable, enable, prepare};
pub use vcpu::SvmVcpu;

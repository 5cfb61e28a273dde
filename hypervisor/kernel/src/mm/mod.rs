//! Physical and virtual memory of the hypervisor.

pub mod direct;
mod heap;
pub mod phys;

//! Physical and virtual memory of the hypervisor.
//!
//! - [`direct`]: pointers to RAM; [`phys`]: who may have which frame; [`paging`]: the hypervisor's page tables;
//! - [`vmap`]: stacks and device registers ([`mmio`]); `heap`: the global allocator.

pub mod direct;
mod heap;
pub mod image;
pub mod mmio;
pub mod pages;
pub mod paging;
pub mod phys;
pub mod vmap;

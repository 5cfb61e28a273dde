//! Xen's interfaces as a process of domain 0 reaches them, through Linux's device files.

pub mod error;
pub mod guest;
pub mod hypercall;
pub mod mapping;
pub mod memory;
pub mod pages;
pub mod privcmd;
pub mod version;

//! Xen's interfaces as a process of domain 0 reaches them, through Linux's device files.

pub mod account;
mod device;
pub mod domain;
pub mod domctl;
pub mod error;
pub mod evtchn;
pub mod gntdev;
pub mod grant_copy;
pub mod guest;
pub mod hypercall;
pub mod mapping;
pub mod memory;
pub mod pages;
pub mod pools;
pub mod privcmd;
pub mod sched;
pub mod sysctl;
pub mod trace;
pub mod version;
pub mod xenbus_backend;

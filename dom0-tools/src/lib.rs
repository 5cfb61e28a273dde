//! What the tools of domain 0 share.
#![warn(missing_docs)]

pub mod balloon;
pub mod block;
pub mod builder;
pub mod cli;
pub mod config;
pub mod console;
pub mod devices;
pub mod host;
pub mod lifecycle;
pub mod pools;
pub mod registry;
pub mod top;
pub mod trace;
pub mod xen;
pub mod xenstore;
pub mod xs_client;

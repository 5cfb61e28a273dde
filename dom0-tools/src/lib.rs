//! What the tools of domain 0 share.
#![warn(missing_docs)]

pub mod config;

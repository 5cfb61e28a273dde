//! The Xen 4.17 public interface as typed Rust.
#![no_std]
#![warn(missing_docs)]

pub mod errno;

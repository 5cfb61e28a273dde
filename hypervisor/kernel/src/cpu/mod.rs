//! The CPUs: what they can do, their tables, their own data.

pub mod control;
mod features;

pub use features::features;

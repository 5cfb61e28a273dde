//! Grants: memory that a domain lets another one use (`public/grant_table.h`):
//! `grant_table_op(op, array, count)`.
//!
//! The table itself is shared with the guest. Each operation takes an array and writes each element's result
//! (`STATUS_*`) into the element.

mod entry;
mod numbers;
mod ops;

pub use entry::*;
pub use numbers::*;
pub use ops::*;

pub(crate) use entry::{FLAGS as ENTRY_FLAGS, LAYOUTS as ENTRY_LAYOUTS};
pub(crate) use numbers::{CONSTANTS, FLAGS};
pub(crate) use ops::LAYOUTS;

//! Memory of domains (`public/memory.h`): `memory_op(op, argument)`.
//!
//! An operation on many extents may be interrupted and entered again; the op's bits from [`EXTENT_SHIFT`] up say
//! how many extents were done before. Callers start with 0 there.

mod map;
mod numbers;
mod reservation;

pub use map::*;
pub use numbers::*;
pub use reservation::*;

pub(crate) use map::LAYOUTS as MAP_LAYOUTS;
pub(crate) use numbers::{CONSTANTS, FLAGS};
pub(crate) use reservation::LAYOUTS;

//! Memory of domains (`public/memory.h`): `memory_op(op, argument)`.
//!
//! A long operation returns with the number of extents done in the op's bits from [`EXTENT_SHIFT`] up; the
//! caller's next call goes on there.

mod map;
mod numbers;
mod reservation;

pub use map::*;
pub use numbers::*;
pub use reservation::*;

pub(crate) use map::LAYOUTS as MAP_LAYOUTS;
pub(crate) use numbers::{CONSTANTS, FLAGS};
pub(crate) use reservation::LAYOUTS;

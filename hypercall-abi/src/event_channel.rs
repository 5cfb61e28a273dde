//! Event channels (`public/event_channel.h`): `event_channel_op(op, argument)`.

mod fifo;
mod ops;

pub use fifo::*;
pub use ops::*;

pub(crate) use {fifo::CONSTANTS as FIFO_CONSTANTS, fifo::LAYOUTS as FIFO_LAYOUTS};
pub(crate) use {ops::CONSTANTS, ops::FLAGS, ops::LAYOUTS};

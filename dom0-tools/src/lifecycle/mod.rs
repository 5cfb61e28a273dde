//! What happens to guests that stop, and to guests whose creator was killed.

pub mod act;
pub mod decide;
pub mod prepare;
pub mod watch;

//! What happens to guests that stop, and to guests whose creator was killed.

pub mod act;
pub mod decide;
pub mod watch;

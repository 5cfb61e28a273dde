//! The terminal that the command was started on, raw: every key arrives at once, as it is.

use std::io;

use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};

use super::undo::Undo;

/// Standard input as a raw terminal, if it is one; set back when dropped, or at a panic.
pub struct Raw {
    _back: Option<Undo>,
}

impl Raw {
    /// Makes it raw.
    pub fn set() -> io::Result<Self> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return Ok(Self { _back: None });
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        let back = Undo::by(move || {
            // The process ends here; a terminal that is gone needs no setting back.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        });
        Ok(Self { _back: Some(back) })
    }
}

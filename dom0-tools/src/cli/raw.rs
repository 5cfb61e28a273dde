//! The terminal that the command was started on, raw: every key arrives at once, as it is.

use std::io;

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// Standard input as a raw terminal, if it is one; set back when dropped.
pub struct Raw(Option<Termios>);

impl Raw {
    /// Makes it raw.
    pub fn set() -> io::Result<Self> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return Ok(Self(None));
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // The process ends here; a terminal that is gone needs no setting back.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

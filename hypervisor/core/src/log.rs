//! Log levels. The machine prints; the core only says how much it matters.

/// How much a message matters (`loglvl=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// Good to know.
    Info,
    /// For finding faults.
    Debug,
    /// A line that a guest wrote to the log itself, marked with its number.
    Guest,
}

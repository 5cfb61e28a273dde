//! What the core asks of the machine below it.

#[cfg(any(test, feature = "std"))]
pub mod test;

//! The walker against tables in memory.

mod changes;
mod double;
mod formats;
mod model;

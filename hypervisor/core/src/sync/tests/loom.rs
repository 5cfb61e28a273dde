//! Loom's locks with the interface of the real ones.

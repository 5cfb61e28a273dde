//! Interrupt controllers: local APICs, IO-APICs, and the 8259s that stay silent.

pub mod io;
pub mod local;
pub mod pic;

//! The daemon as a process, with sockets only: killed at random moments, and used by Debian's own tools.

mod daemon;
mod kill;
mod stock;

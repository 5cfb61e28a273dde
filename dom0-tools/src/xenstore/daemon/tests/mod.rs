//! The daemon with a machine of its own making: ring pages in memory, a journal in memory, and a fuse that can kill
//! the daemon between any two of its outside effects.

mod fair;
mod guest;
mod kills;
mod machine;
mod rings;

//! From a bzImage or an ELF file to what a PVH loader places in memory.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

//! From the bytes of a kernel file to what a PVH loader places in a guest's memory.
//!
//! ```text
//! file ── File::parse ──> ELF, plain or packed ── unpack ──> Image::parse ──> segments, entry, notes
//!                                                                 └─ Layout::new ──> addresses, start information
//! ```
//!
//! The file comes from whoever may create a guest, so every number in it is a claim: all arithmetic is checked, all
//! memory that a file can ask for is bounded by a limit of the caller, and each refusal names the rule.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod bytes;
mod bzimage;
mod error;
mod file;
mod image;
mod layout;
mod note;
mod start;
#[cfg(test)]
mod tests;
mod unpack;

pub use error::ImageError;
pub use file::{File, Packed, unpack};
pub use image::{Class, Image, Segment};
pub use layout::{Layout, LayoutError, Request};
pub use note::{Notes, Relocation};
pub use unpack::{Compression, UnpackError, unpack_zstd};

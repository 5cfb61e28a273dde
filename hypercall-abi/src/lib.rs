//! The Xen 4.17 public interface as typed Rust: for the hypervisor, its tools and its guests alike.
//!
//! Modules are named after Xen's public headers, and each item names its C counterpart; a test compiles
//! Debian's `libxen-dev` and compares every size, offset and value. Names are Xen's without the prefix that
//! the module already says.
//!
//! - Structures are [`plain::Plain`]: no padding, any bytes are a value. Fields whose names start with `_pad`
//!   are what C compilers insert; callers leave them zero.
//! - A structure that 32-bit guests lay out differently takes a parameter `A:` [`abi::Abi`]; the 64-bit layout
//!   is the default. All others have one layout.
//! - A C union is a [`plain::Union`]: raw bytes whose members are copied in and out.
#![no_std]
#![warn(missing_docs)]

#[doc(hidden)]
pub mod layout;

pub mod abi;
pub mod arch;
pub mod domctl;
pub mod elfnote;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod grant_table;
#[cfg(all(feature = "guest", target_arch = "x86_64"))]
pub mod guest;
pub mod hvm;
pub mod io;
pub mod memory;
pub mod physdev;
pub mod plain;
pub mod platform;
pub mod sched;
pub mod start_info;
pub mod sysctl;
pub mod tenon;
pub mod trace;
pub mod vcpu;
pub mod version;
pub mod xen;

pub use abi::{Abi, Handle32, Handle64, Word, X32, X64};
pub use plain::{Plain, Union};

//! Why a change of the p2m was refused.

use core::fmt;

use hypercall_abi::errno::Errno;

use crate::frame::{Gfn, Mfn};
use crate::refusal::Refusal;

/// A refusal; the tree is as it was before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum P2mError {
    /// The run ends past the guest-physical address space.
    OutOfRange {
        /// Its first frame.
        gfn: Gfn,
        /// log2 of its length.
        order: u32,
    },
    /// The machine frames lie past what an entry can address.
    NoSuchFrame {
        /// The first of them.
        mfn: Mfn,
    },
    /// The CPU has no pages of this size.
    BadOrder {
        /// log2 of the number of frames.
        order: u32,
    },
    /// The run doesn't start at a multiple of its length.
    Misaligned {
        /// The first guest frame.
        gfn: Gfn,
        /// log2 of the length.
        order: u32,
    },
    /// Smaller mappings lie in the run; change them one by one.
    Finer {
        /// The first frame of the run.
        gfn: Gfn,
        /// log2 of the length.
        order: u32,
    },
    /// Nothing is mapped there.
    NotMapped {
        /// The first frame of the run.
        gfn: Gfn,
    },
    /// No page is left for a page table.
    NoTable,
    /// The domain has as many page tables as it may have.
    TableLimit {
        /// That many.
        max: usize,
    },
}

impl fmt::Display for P2mError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { gfn, order } => {
                write!(
                    f,
                    "guest frame {gfn} order {order} is past the end of the guest-physical address space"
                )
            }
            Self::NoSuchFrame { mfn } => write!(f, "machine frame {mfn} is past 52 address bits"),
            Self::BadOrder { order } => write!(f, "this CPU has no nested pages of order {order}"),
            Self::Misaligned { gfn, order } => {
                write!(f, "guest frame {gfn} or its machine frame is not aligned to order {order}")
            }
            Self::Finer { gfn, order } => {
                write!(f, "guest frame {gfn} order {order} holds smaller mappings")
            }
            Self::NotMapped { gfn } => write!(f, "guest frame {gfn} is not mapped"),
            Self::NoTable => f.write_str("no memory for a nested page table"),
            Self::TableLimit { max } => {
                write!(f, "the domain has its {max} nested page tables (shadow_memory)")
            }
        }
    }
}

impl core::error::Error for P2mError {}

impl Refusal for P2mError {
    fn errno(&self) -> Errno {
        match self {
            Self::OutOfRange { .. }
            | Self::NoSuchFrame { .. }
            | Self::BadOrder { .. }
            | Self::Misaligned { .. } => Errno::EINVAL,
            Self::Finer { .. } => Errno::EBUSY,
            Self::NotMapped { .. } => Errno::ENOENT,
            Self::NoTable | Self::TableLimit { .. } => Errno::ENOMEM,
        }
    }
}

//! Why a change of the p2m was refused.

use crate::frame::{Gfn, Mfn};
use crate::refusals;

refusals! {
    /// A refusal; the tree is as it was before the call. `gfn` is a run's first frame, `order` log2 of its length.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum P2mError {
        /// The run ends past the guest-physical address space.
        OutOfRange { gfn: Gfn, order: u32 }
            => EINVAL, "guest frame {gfn} order {order} is past the end of the guest-physical address space";
        /// The machine frames, of which this is the first, lie past what an entry can address.
        NoSuchFrame { mfn: Mfn } => EINVAL, "machine frame {mfn} is past 52 address bits";
        /// The CPU or IOMMU has no pages of this size.
        BadOrder { order: u32 } => EINVAL, "the hardware has no nested pages of order {order}";
        /// The run doesn't start at a multiple of its length.
        Misaligned { gfn: Gfn, order: u32 }
            => EINVAL, "guest frame {gfn} or its machine frame is not aligned to order {order}";
        /// Smaller mappings lie in the run; change them one by one.
        Finer { gfn: Gfn, order: u32 } => EBUSY, "guest frame {gfn} order {order} holds smaller mappings";
        /// Nothing is mapped there.
        NotMapped { gfn: Gfn } => ENOENT, "guest frame {gfn} is not mapped";
        /// It is being emptied for good.
        Closed => ESRCH, "the domain's memory is being given back";
        /// No page is left for a page table.
        NoTable => ENOMEM, "no memory for a nested page table";
        /// The domain has as many page tables as it may have.
        TableLimit { max: usize } => ENOMEM, "the domain has its {max} nested page tables (shadow_memory)";
    }
}

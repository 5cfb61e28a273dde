//! Entries of the table, as guests write them and the hypervisor marks them in use.

use crate::layout::{flags, structs};
use crate::plain::Union;

flags! {
    /// [`EntryV1::flags`] and [`EntryHeader::flags`]: the low two bits are the kind of grant, the others are
    /// single bits, of which some mean something else in a transfer.
    struct EntryFlags: u16 {
        /// Kind: access; with [`ACCEPT_TRANSFER`](Self::ACCEPT_TRANSFER) too, transitive.
        const PERMIT_ACCESS = 1 << 0, "GTF_permit_access";
        /// Kind: a page may be transferred.
        const ACCEPT_TRANSFER = 1 << 1, "GTF_accept_transfer";
        /// Both bits of the kind; version 2: access through another domain's grant.
        const TYPE_MASK = 3, "GTF_type_mask";
        /// Access: only for reading.
        const READONLY = 1 << 2, "GTF_readonly";
        /// Access: in use for reading (hypervisor).
        const READING = 1 << 3, "GTF_reading";
        /// Access: in use for writing (hypervisor).
        const WRITING = 1 << 4, "GTF_writing";
        /// Access: the page table's write-through bit.
        const PWT = 1 << 5, "GTF_PWT";
        /// Access: the page table's cache-disable bit.
        const PCD = 1 << 6, "GTF_PCD";
        /// Access: the page table's attribute bit.
        const PAT = 1 << 7, "GTF_PAT";
        /// Access, version 2: part of a page.
        const SUB_PAGE = 1 << 8, "GTF_sub_page";
        /// Transfer: it will happen (hypervisor).
        const TRANSFER_COMMITTED = 1 << 2, "GTF_transfer_committed";
        /// Transfer: it happened (hypervisor).
        const TRANSFER_COMPLETED = 1 << 3, "GTF_transfer_completed";
    }
}

structs! {
    /// An entry of version 1.
    struct EntryV1 = "struct grant_entry_v1" {
        /// What is granted; 0 means nothing. Written last.
        flags: EntryFlags,
        /// To whom.
        domid: u16,
        /// The guest frame.
        frame: u32,
    }

    /// The head of every entry of version 2.
    struct EntryHeader = "struct grant_entry_header" {
        /// What is granted; 0 means nothing. Written last.
        flags: EntryFlags,
        /// To whom.
        domid: u16,
    }

    /// An entry of version 2: a [`FullPage`], [`SubPage`] or [`Transitive`].
    struct EntryV2 = "union grant_entry_v2" {
        /// The union's bytes.
        bytes: Union<[u32; 4]> = "__spacer",
    }

    /// Version 2: a whole page.
    struct FullPage = "typeof(((union grant_entry_v2 *)0)->full_page)" {
        hdr: EntryHeader,
        /// Zero.
        pad0: u32,
        /// The guest frame.
        frame: u64,
    }

    /// Version 2: part of a page, only for copies.
    struct SubPage = "typeof(((union grant_entry_v2 *)0)->sub_page)" {
        hdr: EntryHeader,
        /// Where the part begins, in bytes.
        page_off: u16,
        /// How long it is, in bytes.
        length: u16,
        /// The guest frame.
        frame: u64,
    }

    /// Version 2: what another domain granted to this one, only for copies.
    struct Transitive = "typeof(((union grant_entry_v2 *)0)->transitive)" {
        hdr: EntryHeader,
        /// The other domain.
        trans_domid: u16,
        /// Zero.
        pad0: u16,
        /// Its grant.
        gref: u32,
    }
}

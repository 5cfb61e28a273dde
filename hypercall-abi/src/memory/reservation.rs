//! Getting and giving back memory, and how much there is.

use super::MemFlags;
use crate::layout::structs;

structs! {
    /// Extents of `2^extent_order` pages to be allocated, put somewhere or given back. Calls return how many
    /// extents were done.
    struct Reservation<A> = "struct xen_memory_reservation" {
        /// Array of the extents' first frames, in or out as the operation says.
        extent_start: A::Handle,
        /// Its length.
        nr_extents: A::Ulong,
        /// Size and alignment of each extent.
        extent_order: u32,
        /// What memory.
        mem_flags: MemFlags,
        /// Whose memory.
        domid: u16,
        _pad: A::Pick<[u8; 6], [u8; 2]>,
    }

    /// Gives memory back and gets other memory for it.
    struct Exchange<A> = "struct xen_memory_exchange" {
        /// What is given back.
        input: Reservation<A> = "in",
        /// What is wanted.
        output: Reservation<A> = "out",
        /// Out: input extents exchanged.
        nr_exchanged: A::Ulong,
    }

    /// The argument of calls that only name a domain.
    struct MemoryDomain = "struct xen_memory_domain" {
        /// The domain.
        domid: u16,
    }

    /// How much of a domain is populated on demand, in pages.
    struct PodTarget<A> = "struct xen_pod_target" {
        /// In: the wanted size.
        target_pages: A::U64,
        /// Out: the present size.
        tot_pages: A::U64,
        /// Out: pages that wait to be used.
        pod_cache_pages: A::U64,
        /// Out: guest frames with nothing behind them yet.
        pod_entries: A::U64,
        /// In: the domain.
        domid: u16,
        _pad: A::Pick<[u8; 6], [u8; 2]>,
    }
}

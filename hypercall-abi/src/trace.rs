//! The trace buffers (`public/trace.h`), which the tools map as pages of `DOMID_XEN`.
//!
//! `sysctl(TBUF_OP)` names the frame of an information page (`struct t_info`): 16 bits with the pages of each buffer,
//! then 16 bits per CPU with the place, in 32-bit words from the start of the page, where the frame numbers (32 bits
//! each) of that CPU's buffer are. A buffer begins with a [`Buffer`]; the rest is a ring of records.
//!
//! A record is a word with the event, the number of further words, and whether a time-stamp counter (two words, the
//! lower first) comes before these. Records do not cross the ring's end: [`WRAP_BUFFER`] fills what is left.

use crate::layout::{constants, structs};

/// Bytes of a page.
const PAGE: usize = 4096;

constants! {
    /// The most further words of a record.
    EXTRA_MAX: u32 = 7, "TRACE_EXTRA_MAX";
    /// Where their number is in a record's first word.
    EXTRA_SHIFT: u32 = 28, "TRACE_EXTRA_SHIFT";
    /// The record has a time-stamp counter.
    CYCLE_FLAG: u32 = 1 << 31, "TRC_HD_CYCLE_FLAG";
    /// From here on, an event has its class, one bit for each.
    CLS_SHIFT: u32 = 16, "TRC_CLS_SHIFT";
    /// From here up to the class it has its subclass, one bit for each.
    SUBCLS_SHIFT: u32 = 12, "TRC_SUBCLS_SHIFT";

    /// Every event.
    ALL: u32 = 0x0fff_f000, "TRC_ALL";
    /// Events about the trace itself.
    GEN: u32 = 0x0001_f000, "TRC_GEN";
    /// Scheduler events.
    SCHED: u32 = 0x0002_f000, "TRC_SCHED";
    /// Events of HVM and PVH guests.
    HVM: u32 = 0x0008_f000, "TRC_HVM";

    /// Records were lost: how many; the domain (lower half) and vCPU that run now; the time of the first.
    LOST_RECORDS: u32 = 0x0001_f001, "TRC_LOST_RECORDS";
    /// Fills the ring up to its end.
    WRAP_BUFFER: u32 = 0x0001_f002, "TRC_TRACE_WRAP_BUFFER";
    /// A vCPU's run state has changed: from `RUNSTATE_*` (bits 8 and 9) to `RUNSTATE_*` (bits 4 and 5); the vCPU (lower
    /// half) and domain.
    SCHED_RUNSTATE_CHANGE: u32 = 0x0002_1001, "TRC_SCHED_RUNSTATE_CHANGE";
    /// Events of one scheduler; bits 9 to 11 say which.
    SCHED_CLASS: u32 = 0x0002_2000, "TRC_SCHED_CLASS";
    /// The running vCPU enters its guest.
    HVM_VMENTRY: u32 = 0x0008_1001, "TRC_HVM_VMENTRY";
    /// It has left it: the hardware's exit code, then the guest's instruction pointer.
    HVM_VMEXIT64: u32 = 0x0008_1102, "TRC_HVM_VMEXIT64";
    /// It makes a hypercall: the number.
    HVM_VMMCALL: u32 = 0x0008_2012, "TRC_HVM_VMMCALL";
}

/// Tenon's own, the first of a scheduler that Xen has not: a CPU is interrupted to look at its work; which.
pub const SCHED_KICK: u32 = SCHED_CLASS | 7 << 9 | 1;

structs! {
    /// The start of a buffer. Both offsets count bytes modulo twice the ring's size, which is the buffer's without this.
    struct Buffer = "struct t_buf" {
        /// Up to where the tools have read.
        cons: u32,
        /// Up to where the hypervisor has written.
        prod: u32,
    }
}

/// Whether a mask of classes and subclasses has an event's.
#[must_use]
pub const fn is_wanted(mask: u32, event: u32) -> bool {
    let both = mask & event;
    both >> CLS_SHIFT != 0 && both >> SUBCLS_SHIFT & 0xf != 0
}

/// A record's words.
pub fn record<const N: usize>(event: u32, tsc: u64, extra: [u32; N]) -> impl Iterator<Item = u32> {
    // So one record without a time fills what is too small for the largest with one.
    const { assert!(3 + N <= 1 + EXTRA_MAX as usize) };
    let head = event | (N as u32) << EXTRA_SHIFT | CYCLE_FLAG;
    [head, tsc as u32, (tsc >> 32) as u32].into_iter().chain(extra)
}

/// The information page of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// CPUs, at most a few hundred.
    pub cpus: usize,
    /// Pages of each CPU's buffer.
    pub pages: usize,
}

impl Info {
    /// For buffers of that many pages, or as many as one page of information has room for.
    #[must_use]
    pub fn fitting(cpus: usize, pages: usize) -> Self {
        let room = PAGE / 4 - Self { cpus, pages: 0 }.list(0);
        Self { cpus, pages: pages.clamp(1, room / cpus.max(1)) }
    }

    /// Where the frame numbers of a CPU's buffer are, in 32-bit words.
    #[must_use]
    pub const fn list(self, cpu: usize) -> usize {
        (2 + 2 * self.cpus).div_ceil(4) + cpu * self.pages
    }

    /// What comes before these.
    pub fn head(self) -> impl Iterator<Item = u16> {
        core::iter::once(self.pages as u16).chain((0..self.cpus).map(move |cpu| self.list(cpu) as u16))
    }
}

/// The arithmetic of a buffer's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    bytes: u32,
}

impl Ring {
    /// The ring in a buffer of at least one page.
    #[must_use]
    pub const fn of_pages(pages: usize) -> Self {
        Self { bytes: (pages * PAGE).saturating_sub(size_of::<Buffer>()) as u32 }
    }

    /// Bytes between what is read and what is written. `None` if these cannot be.
    #[must_use]
    pub const fn unread(self, cons: u32, prod: u32) -> Option<u32> {
        let twice = 2 * self.bytes;
        if cons >= twice || prod >= twice {
            return None;
        }
        let unread = if cons <= prod { prod - cons } else { prod + twice - cons };
        if unread <= self.bytes { Some(unread) } else { None }
    }

    /// Bytes from there up to the ring's end.
    #[must_use]
    pub const fn to_end(self, at: u32) -> u32 {
        self.bytes - at % self.bytes
    }

    /// Bytes that must be filled before a record of `size` goes in.
    #[must_use]
    pub const fn gap(self, at: u32, size: u32) -> u32 {
        if self.to_end(at) < size { self.to_end(at) } else { 0 }
    }

    /// So many bytes further.
    #[must_use]
    pub const fn advance(self, at: u32, bytes: u32) -> u32 {
        (at + bytes) % (2 * self.bytes)
    }

    /// Where that is in the buffer.
    #[must_use]
    pub const fn place(self, at: u32) -> usize {
        size_of::<Buffer>() + (at % self.bytes) as usize
    }

    /// The first word of what fills a gap.
    #[must_use]
    pub const fn filler(gap: u32) -> u32 {
        WRAP_BUFFER | (gap / 4 - 1) << EXTRA_SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_information_fits_its_page() {
        for cpus in 1..=64 {
            for pages in [0, 1, 20, 1 << 20] {
                let info = Info::fitting(cpus, pages);
                assert!(info.pages >= 1 && info.list(cpus) <= PAGE / 4);
                assert!(2 * info.head().count() <= 4 * info.list(0));
            }
        }
        assert_eq!(Info::fitting(4, 20), Info { cpus: 4, pages: 20 });
    }

    #[test]
    fn a_ring_knows_what_cannot_be() {
        let ring = Ring::of_pages(1);
        assert_eq!(ring.unread(0, 4088), Some(4088));
        assert_eq!(ring.unread(4088, 0), Some(4088));
        assert_eq!(ring.unread(8172, 4), Some(8));
        assert_eq!(ring.unread(0, 4092), None);
        assert_eq!(ring.unread(8176, 0), None);
        assert_eq!((ring.place(4084), ring.place(4088), ring.gap(4084, 8)), (4092, 8, 4));
    }
}

//! The ring of requests and responses that block and net devices share (`public/io/ring.h`).
//!
//! A ring is a 64-byte header and then a power of two of entries, each as large as the larger of request and
//! response. Indices run freely; an index's entry is its low bits. Both sides access the header's words
//! atomically, so they are given as offsets.

use crate::layout::constants;

constants! {
    /// Offset of the index after the last request.
    REQ_PROD: usize = 0, "offsetof(struct blkif_sring, req_prod)";
    /// Offset of the request index whose arrival is to be notified.
    REQ_EVENT: usize = 4, "offsetof(struct blkif_sring, req_event)";
    /// Offset of the index after the last response.
    RSP_PROD: usize = 8, "offsetof(struct blkif_sring, rsp_prod)";
    /// Offset of the response index whose arrival is to be notified.
    RSP_EVENT: usize = 12, "offsetof(struct blkif_sring, rsp_event)";
    /// Offset of the first entry.
    ENTRIES: usize = 64, "offsetof(struct blkif_sring, ring)";
}

/// How many entries of `entry` bytes a ring of `size` bytes has; 0 if none fits.
#[must_use]
pub const fn entries(size: usize, entry: usize) -> u32 {
    match size.saturating_sub(ENTRIES).checked_div(entry) {
        None | Some(0) => 0,
        Some(room) => {
            let power = room.ilog2();
            if power > 30 { 1 << 30 } else { 1 << power }
        }
    }
}

/// Whether the other side wants to know that the producer index went from `old` to `new`; `event` is what it
/// left in the header, read after `new` was published.
#[must_use]
pub const fn needs_notify(old: u32, new: u32, event: u32) -> bool {
    new.wrapping_sub(event) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_hold_a_power_of_two() {
        assert_eq!(entries(4096, 112), 32);
        assert_eq!(entries(4096, 12), 256);
        assert_eq!(entries(64, 12), 0);
        assert_eq!(entries(4096, 0), 0);
    }

    #[test]
    fn notification_survives_the_wrap() {
        assert!(needs_notify(u32::MAX, 1, 0));
        assert!(!needs_notify(5, 6, 5));
        assert!(needs_notify(5, 6, 6));
    }
}

//! Grant tables: pages that a domain lets another one use (`public/grant_table.h`).
//!
//! [`GrantTable`] is the granting side: the frames it shares with its guest, and for every reference in use a count
//! and the pinned page. [`MapTrack`] is the mapping side: the handles of what a domain has mapped from others.
//!
//! # Ownership
//! A reference in use is a [`Pinned`]: made by [`GrantTable::acquire`], ended by [`GrantTable::release`], and as a value
//! it cannot be ended twice. It owns a reference `F` to the page, so the page outlives every use of it, whatever
//! becomes of the granting domain. A domain's id is free for a new domain only when its last frame is gone, so a
//! `Pinned` never meets the table of a namesake.
//!
//! # Locks
//! Each table has its own lock and so has each `MapTrack`; they are never held together. Under a `GrantTable`'s lock the
//! p2m lock of the same domain is taken (by the `resolve` that `acquire` is given), and nothing else.
//!
//! # Order of the steps
//! - Map: [`MapTrack::reserve`], `acquire`, set the p2m entry, [`MapTrack::fill`]. The handle works only when all is in
//!   place, so another vCPU that guesses it cannot unmap a half-made mapping.
//! - Unmap: [`MapTrack::take`], clear the p2m entry if it still maps that frame, flush the TLBs, then `release`. The
//!   granting guest may reuse the page as soon as the use bits clear, so no translation may be left by then.
//! - Copy: `acquire` both ends one after the other, copy with no lock held, `release` both. A transitive entry is
//!   acquired after the one that it passes on and released before it.

mod acquire;
mod copy;
mod entry;
mod error;
mod maptrack;
mod request;
mod table;

#[cfg(test)]
mod tests;

use crate::ids::id;

pub use acquire::Pinned;
pub use copy::{CopyEnd, CopyPlace, CopyRequest};
pub use entry::{Access, Part, Purpose, Version, Via, Wanted};
pub use error::GrantError;
pub use maptrack::{MapTrack, Mapping};
pub use request::{CacheFlush, MapRequest, ReplaceRequest, UnmapRequest};
pub use table::{Content, GrantTable, Size};

id!(
    /// A grant reference: the index of an entry in a domain's table.
    GrantRef(u32), "grant reference {}"
);
id!(
    /// The number by which a domain knows one of its grant mappings.
    Handle(u32), "grant handle {}"
);

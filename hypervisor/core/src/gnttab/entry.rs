//! A version 1 entry in the shared table: flags, domain, frame (`struct grant_entry_v1`).
//!
//! The guest owns the entry; the hypervisor sets and clears two bits, by which the guest knows that the entry is in
//! use. They are set only together with the check that the entry still grants what is asked, in one compare-exchange.

use core::mem::offset_of;

use hypercall_abi::grant_table::{EntryFlags, EntryV1};

use super::{GrantError, GrantRef};
use crate::frame::Gfn;
use crate::ids::DomId;
use crate::page::GuestPage;

/// Bytes of an entry.
pub(super) const SIZE: usize = size_of::<EntryV1>();
const FRAME: usize = offset_of!(EntryV1, frame);

const CACHE_ATTRIBUTES: EntryFlags = EntryFlags::PWT.union(EntryFlags::PCD).union(EntryFlags::PAT);

// The flags and the domain are one 32-bit word, so that they are checked and marked together.
const _: () = assert!(offset_of!(EntryV1, flags) == 0 && offset_of!(EntryV1, domid) == 2);

/// How often the guest may change the entry under our hands before we give up.
const ATTEMPTS: u32 = 8;

/// What a grant is used for: to read only, or to write as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// How the page is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Through a p2m entry of the other domain.
    Map,
    /// By the hypervisor, which copies for the other domain.
    Copy,
}

/// What is asked of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Who asks.
    pub by: DomId,
    /// What for.
    pub access: Access,
    /// How.
    pub purpose: Purpose,
}

/// An entry's place.
#[derive(Debug)]
pub(super) struct Entry<'a, P> {
    pub page: &'a P,
    pub offset: usize,
    pub gref: GrantRef,
}

impl<P: GuestPage> Entry<'_, P> {
    /// Marks the entry as in use, if it grants what is wanted.
    pub fn mark(&self, wanted: Wanted) -> Result<(), GrantError> {
        let bits = match wanted.access {
            Access::Read => EntryFlags::READING,
            Access::Write => EntryFlags::READING | EntryFlags::WRITING,
        };
        let mut word = self.page.load32(self.offset);
        for _ in 0..ATTEMPTS {
            self.check(word, wanted)?;
            match self.page.compare_exchange32(self.offset, word, word | u32::from(bits.bits())) {
                Ok(_) => return Ok(()),
                Err(found) => word = found,
            }
        }
        Err(GrantError::Unstable(self.gref))
    }

    /// Whether the entry's first word grants what is wanted.
    fn check(&self, word: u32, wanted: Wanted) -> Result<(), GrantError> {
        let (flags, to) = (EntryFlags::from_bits_retain(word as u16), DomId((word >> 16) as u16));
        let gref = self.gref;
        if flags & EntryFlags::TYPE_MASK != EntryFlags::PERMIT_ACCESS {
            return Err(GrantError::NoAccess { gref, flags: flags.bits() });
        }
        if to != wanted.by {
            return Err(GrantError::NotYours { gref, to });
        }
        if wanted.access == Access::Write && flags.contains(EntryFlags::READONLY) {
            return Err(GrantError::ReadOnly(gref));
        }
        if wanted.purpose == Purpose::Map && flags.intersects(EntryFlags::SUB_PAGE | CACHE_ATTRIBUTES) {
            return Err(GrantError::NotMappable { gref, flags: flags.bits() });
        }
        Ok(())
    }

    /// The granted frame. The guest must leave it alone while the entry is marked; if it does not, that frame counts
    /// which the first user saw.
    pub fn frame(&self) -> Gfn {
        Gfn(u64::from(self.page.load32(self.offset + FRAME)))
    }

    /// Nobody writes any more.
    pub fn clear_writing(&self) {
        self.page.fetch_and32(self.offset, !u32::from(EntryFlags::WRITING.bits()));
    }

    /// Nobody uses it any more.
    pub fn clear(&self) {
        self.page.fetch_and32(self.offset, !u32::from((EntryFlags::READING | EntryFlags::WRITING).bits()));
    }

    /// The whole entry.
    pub fn load(&self) -> u64 {
        self.page.load64(self.offset)
    }

    pub fn store(&self, entry: u64) {
        self.page.store64(self.offset, entry);
    }
}

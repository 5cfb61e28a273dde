//! An entry in the shared table: what is granted, to whom (`struct grant_entry_v1`, `union grant_entry_v2`).
//!
//! The guest owns the entry; the hypervisor sets and clears two bits, by which the guest knows that the entry is in
//! use. Version 1 has them in the entry's first word, and they are set only together with the check that the entry
//! still grants what is asked, in one compare-exchange. Version 2 has them in a status word in another page: they are
//! set first, then the entry is checked, so that a guest that clears the entry and then sees no use knows there is none.

use core::mem::offset_of;

use hypercall_abi::grant_table::{EntryFlags, EntryV1, EntryV2, FullPage, SubPage, Transitive};

use super::{GrantError, GrantRef};
use crate::frame::{Gfn, PAGE_SIZE};
use crate::ids::DomId;
use crate::page::GuestPage;

/// The layout of a table's entries (`GNTTABOP_set_version`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Whole pages below 16 TiB; uses are shown in the entry.
    #[default]
    One = 1,
    /// Parts of pages and the grants of others, too; uses are shown in status words.
    Two = 2,
}

impl Version {
    /// Bytes of an entry.
    pub const fn entry_size(self) -> usize {
        match self {
            Self::One => size_of::<EntryV1>(),
            Self::Two => size_of::<EntryV2>(),
        }
    }

    /// Entries in a frame of the table.
    pub const fn entries_per_frame(self) -> u32 {
        (PAGE_SIZE / self.entry_size()) as u32
    }
}

const CACHE_ATTRIBUTES: EntryFlags = EntryFlags::PWT.union(EntryFlags::PCD).union(EntryFlags::PAT);

// The flags and the domain are one 32-bit word, so that they are checked and marked together.
const _: () = assert!(offset_of!(EntryV1, flags) == 0 && offset_of!(EntryV1, domid) == 2);
// So they are in version 2. A use is shown in a word of its own, in the bits that version 1 has in the entry.
const _: () =
    assert!(offset_of!(FullPage, hdr) == 0 && offset_of!(FullPage, frame) == offset_of!(SubPage, frame));

const USES: EntryFlags = EntryFlags::READING.union(EntryFlags::WRITING);

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

/// A grant that another one passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The domain whose page it is.
    pub dom: DomId,
    /// That domain's grant to the one that passes it on.
    pub gref: GrantRef,
}

/// How the page is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Through a p2m entry of the other domain.
    Map,
    /// By the hypervisor, which copies for the other domain.
    Copy,
    /// Copied, too: the page is that of another grant, in use already, which a transitive entry passes on.
    CopyVia(Via),
}

impl Purpose {
    pub(super) fn via(self) -> Option<Via> {
        match self {
            Self::CopyVia(via) => Some(via),
            Self::Map | Self::Copy => None,
        }
    }
}

/// The bytes of a page that an entry grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    start: u16,
    end: u16,
}

impl Part {
    /// All of them.
    pub const WHOLE: Self = Self { start: 0, end: PAGE_SIZE as u16 };

    /// Whether `len` bytes from `offset` on are in it.
    pub fn has(self, offset: u16, len: u16) -> bool {
        self.start <= offset && usize::from(offset) + usize::from(len) <= usize::from(self.end)
    }
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
    /// Version 2: where its uses are shown.
    pub status: Option<(&'a P, usize)>,
}

impl<P: GuestPage> Entry<'_, P> {
    /// Marks the entry as in use, if it grants what is wanted; gives the flags that it did it by.
    pub fn mark(&self, wanted: Wanted) -> Result<EntryFlags, GrantError> {
        let bits = match wanted.access {
            Access::Read => EntryFlags::READING,
            Access::Write => USES,
        };
        if let Some((page, offset)) = self.status {
            let bits = u32::from(bits.bits()) << shift(offset);
            let before = page.fetch_or32(offset & !3, bits);
            return self.check(self.page.load32(self.offset), wanted).inspect_err(|_| {
                // Only what this added goes again.
                page.fetch_and32(offset & !3, before | !bits);
            });
        }
        let mut word = self.page.load32(self.offset);
        for _ in 0..ATTEMPTS {
            let flags = self.check(word, wanted)?;
            match self.page.compare_exchange32(self.offset, word, word | u32::from(bits.bits())) {
                Ok(_) => return Ok(flags),
                Err(found) => word = found,
            }
        }
        Err(GrantError::Unstable(self.gref))
    }

    /// Whether the entry's first word grants what is wanted; its flags.
    fn check(&self, word: u32, wanted: Wanted) -> Result<EntryFlags, GrantError> {
        let (flags, to) = (EntryFlags::from_bits_retain(word as u16), DomId((word >> 16) as u16));
        let gref = self.gref;
        let transitive = flags & EntryFlags::TYPE_MASK == EntryFlags::TYPE_MASK && self.status.is_some();
        if flags & EntryFlags::TYPE_MASK != EntryFlags::PERMIT_ACCESS && !transitive {
            return Err(GrantError::NoAccess { gref, flags: flags.bits() });
        }
        if to != wanted.by {
            return Err(GrantError::NotYours { gref, to });
        }
        if wanted.access == Access::Write && flags.contains(EntryFlags::READONLY) {
            return Err(GrantError::ReadOnly(gref));
        }
        if transitive {
            let via = self.via();
            return if wanted.purpose == Purpose::CopyVia(via) {
                Ok(flags)
            } else {
                Err(GrantError::Transitive { gref, via })
            };
        }
        if wanted.purpose == Purpose::Map && flags.intersects(EntryFlags::SUB_PAGE | CACHE_ATTRIBUTES) {
            return Err(GrantError::NotMappable { gref, flags: flags.bits() });
        }
        if wanted.purpose.via().is_some() { Err(GrantError::Unstable(gref)) } else { Ok(flags) }
    }

    /// Which grant a transitive entry passes on.
    fn via(&self) -> Via {
        let dom = self.page.load32(self.offset + offset_of!(Transitive, trans_domid)) as u16;
        Via { dom: DomId(dom), gref: GrantRef(self.page.load32(self.offset + offset_of!(Transitive, gref))) }
    }

    /// The granted frame. The guest must leave it alone while the entry is marked; if it does not, that frame counts
    /// which the first user saw.
    pub fn frame(&self) -> Gfn {
        Gfn(match self.status {
            None => self.page.load32(self.offset + offset_of!(EntryV1, frame)).into(),
            Some(_) => self.page.load64(self.offset + offset_of!(FullPage, frame)),
        })
    }

    /// How much of the page an entry with such flags grants. The same goes for it.
    pub fn part(&self, flags: EntryFlags) -> Part {
        if self.status.is_none() || !flags.contains(EntryFlags::SUB_PAGE) {
            return Part::WHOLE;
        }
        let word = self.page.load32(self.offset + offset_of!(SubPage, page_off));
        let (start, len) = (word as u16, (word >> 16) as u16);
        Part { start, end: start.saturating_add(len).min(PAGE_SIZE as u16) }
    }

    /// Nobody writes any more.
    pub fn clear_writing(&self) {
        self.clear_uses(EntryFlags::WRITING);
    }

    /// Nobody uses it any more.
    pub fn clear(&self) {
        self.clear_uses(USES);
    }

    fn clear_uses(&self, bits: EntryFlags) {
        let (page, offset) = self.status.unwrap_or((self.page, self.offset));
        page.fetch_and32(offset & !3, !(u32::from(bits.bits()) << shift(offset)));
    }

    /// Exchanges it with another entry of the table, which nobody uses either.
    pub fn swap(&self, other: &Self) {
        let size = if self.status.is_some() { Version::Two } else { Version::One }.entry_size();
        for at in (0..size).step_by(8) {
            let (here, there) = (self.page.load64(self.offset + at), other.page.load64(other.offset + at));
            self.page.store64(self.offset + at, there);
            other.page.store64(other.offset + at, here);
        }
    }

    /// The entry in a form that both versions have: the first word, uses included, and the frame. `None` if it grants
    /// something else than a whole page.
    pub fn whole_page(&self) -> Option<(u32, Gfn)> {
        let mut word = self.page.load32(self.offset);
        if let Some((page, offset)) = self.status {
            word |= page.load32(offset & !3) >> shift(offset) & u32::from(USES.bits());
        }
        let flags = EntryFlags::from_bits_retain(word as u16);
        let whole =
            flags & EntryFlags::TYPE_MASK == EntryFlags::PERMIT_ACCESS && self.part(flags) == Part::WHOLE;
        whole.then(|| (word, self.frame()))
    }

    /// Fills a zeroed entry with that form; it stays empty if its version has no room for the frame.
    pub fn set_whole_page(&self, (word, frame): (u32, Gfn)) {
        match self.status {
            None => {
                if let Ok(frame) = u32::try_from(frame.0) {
                    self.page.store64(self.offset, u64::from(frame) << 32 | u64::from(word));
                }
            }
            Some((page, offset)) => {
                let uses = word & u32::from(USES.bits());
                page.fetch_or32(offset & !3, uses << shift(offset));
                self.page.store64(self.offset + offset_of!(FullPage, frame), frame.0);
                self.page.store32(self.offset, word ^ uses);
            }
        }
    }
}

/// Where in its 32-bit word the halfword at `offset` is.
const fn shift(offset: usize) -> usize {
    offset % 4 * 8
}

//! What a queue has taken from its ring and not answered yet, in memory that outlives the daemon: a file on a tmpfs.
//!
//! A response goes over the entry of some request, so the ring alone does not tell a new daemon what the old one was
//! doing. Here is a copy of each request from before it counts as taken until its response is visible to the guest:
//!
//! ```text
//! 0     magic, entries, the guest's event channel, the grant of the ring's first page: words
//! 64    one slot of 128 bytes per entry of the ring:
//!       0   state: FREE, TAKEN or ANSWERED
//!       4   the request's index
//!       8   the index of its response, once ANSWERED
//!       16  the request
//! ```
//!
//! The state is stored last in each step, and a process that is killed has done all of its stores up to some point of
//! the program and none after it. So at any such point:
//! - a request whose slot is not TAKEN yet is in the ring, unchanged, after all that were taken;
//! - one that is TAKEN has no response, or one in an entry that the guest does not look at;
//! - one that is ANSWERED has a visible response if, and only if, the ring's response index is after the one here.
//!
//! A new daemon does the second kind again, and the third where the response is not visible. Doing it twice does no
//! harm: the guest may not touch a request's memory before the answer, so the same bytes go to the same place; a
//! request on the same sectors that was answered before this one was finished would have been under way together with
//! it, and then the guest has no claim on their order; flushing, discarding and reading again change nothing. A
//! barrier is redone in its place: slots are redone in the order of their indices.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::request::ENTRY_MAX;
use crate::xen::mapping::Mapping;

/// Where the files are.
pub const DIRECTORY: &str = "/run/tenon/block";
/// "tbd" and the layout's version.
const MAGIC: u32 = u32::from_le_bytes(*b"tbd1");
const HEADER: usize = 64;
const SLOT: usize = 128;
const STATE: usize = 0;
const INDEX: usize = 4;
const RESPONSE: usize = 8;
const REQUEST: usize = 16;
const FREE: u32 = 0;
const TAKEN: u32 = 1;
const ANSWERED: u32 = 2;
const PAGE: usize = 4096;
const _: () = assert!(REQUEST + ENTRY_MAX <= SLOT);

/// What a ledger belongs to: the event channel of the guest and the grant of its ring's first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The ring's entries.
    pub entries: u32,
    /// The guest's port.
    pub port: u32,
    /// The grant.
    pub ring: u32,
}

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(u32);

impl Slot {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The slot with a number that [`Slot::number`] gave.
    #[must_use]
    pub const fn of_number(number: u32) -> Self {
        Self(number)
    }
}

/// A ledger.
#[derive(Debug)]
pub struct Ledger {
    mapping: Mapping,
    entries: u32,
    free: Vec<Slot>,
}

/// The file of queue `queue` of device `device` of domain `domain`.
#[must_use]
pub fn path(domain: u16, device: u32, queue: u32) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{domain}-{device}.{queue}"))
}

impl Ledger {
    /// An empty ledger, whatever was there before.
    ///
    /// # Errors
    /// As the system says.
    pub fn create(path: &Path, owner: Owner) -> io::Result<Self> {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let pages = (HEADER + owner.entries as usize * SLOT).div_ceil(PAGE);
        file.set_len((pages * PAGE) as u64)?;
        let mapping = Mapping::of_device(&file, pages, 0, "map the ledger").map_err(io::Error::other)?;
        for (offset, value) in [(4, owner.entries), (8, owner.port), (12, owner.ring), (0, MAGIC)] {
            mapping.word(offset).store(value, Ordering::Release);
        }
        let free = (0..owner.entries).map(Slot).collect();
        Ok(Self { mapping, entries: owner.entries, free })
    }

    /// The ledger that a daemon before us kept, with the slots that have to be done again, in order; `rsp_prod` is
    /// the ring's response index.
    ///
    /// # Errors
    /// `InvalidData` if it is another connection's; otherwise as the system says.
    pub fn resume(path: &Path, owner: Owner, rsp_prod: u32) -> io::Result<(Self, Vec<Slot>)> {
        let other = || io::Error::new(io::ErrorKind::InvalidData, "the ledger is of another connection");
        let file = File::options().read(true).write(true).open(path)?;
        let pages = (HEADER + owner.entries as usize * SLOT).div_ceil(PAGE);
        if file.metadata()?.len() != (pages * PAGE) as u64 {
            return Err(other());
        }
        let mapping = Mapping::of_device(&file, pages, 0, "map the ledger").map_err(io::Error::other)?;
        let header = [MAGIC, owner.entries, owner.port, owner.ring];
        if header.iter().enumerate().any(|(i, word)| mapping.word(i * 4).load(Ordering::Acquire) != *word) {
            return Err(other());
        }
        let mut ledger = Self { mapping, entries: owner.entries, free: Vec::new() };
        let mut again = Vec::new();
        for slot in (0..owner.entries).map(Slot) {
            let is_visible =
                rsp_prod.wrapping_sub(ledger.word(slot, RESPONSE)).wrapping_sub(1) < owner.entries;
            match ledger.word(slot, STATE) {
                TAKEN => again.push(slot),
                ANSWERED if !is_visible => again.push(slot),
                _ => ledger.free(slot),
            }
        }
        again.sort_by_key(|slot| ledger.word(*slot, INDEX).wrapping_sub(rsp_prod));
        Ok((ledger, again))
    }

    fn offset(&self, slot: Slot) -> usize {
        debug_assert!(slot.0 < self.entries);
        HEADER + slot.0 as usize * SLOT
    }

    fn word(&self, slot: Slot, field: usize) -> u32 {
        self.mapping.word(self.offset(slot) + field).load(Ordering::Acquire)
    }

    fn set(&self, slot: Slot, field: usize, value: u32) {
        self.mapping.word(self.offset(slot) + field).store(value, Ordering::Release);
    }

    /// Notes a request before it counts as taken. There is a slot, because a ring has no more requests than entries;
    /// `None` all the same if there is not.
    pub fn take(&mut self, index: u32, request: &[u8; ENTRY_MAX]) -> Option<Slot> {
        let slot = self.free.pop()?;
        self.mapping.write(self.offset(slot) + REQUEST, request);
        self.set(slot, INDEX, index);
        self.set(slot, STATE, TAKEN);
        Some(slot)
    }

    /// The request of a slot.
    #[must_use]
    pub fn request(&self, slot: Slot) -> [u8; ENTRY_MAX] {
        let mut request = [0; ENTRY_MAX];
        self.mapping.read(self.offset(slot) + REQUEST, &mut request);
        request
    }

    /// Notes that the response with index `response` is about to be written.
    pub fn answer(&self, slot: Slot, response: u32) {
        self.set(slot, RESPONSE, response);
        self.set(slot, STATE, ANSWERED);
    }

    /// Forgets a slot whose response is visible.
    pub fn free(&mut self, slot: Slot) {
        self.set(slot, STATE, FREE);
        self.free.push(slot);
    }
}

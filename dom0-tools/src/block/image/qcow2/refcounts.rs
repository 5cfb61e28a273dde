//! Reference counts of clusters, and how new clusters are had.
//!
//! A count is on disk before anything refers to its cluster, and a new cluster reads as zeros by then, durably: so
//! clusters are counted in batches, one wait for the disk each. What a batch has left, and what nothing refers to any
//! more, is given back when the image is closed; a daemon that is killed leaves them counted, which costs space and
//! nothing else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate, fdatasync};

use super::flaw::Flaw;
use super::header::{Header, PLACE_MAX, REFCOUNT_TABLE};
use crate::block::engine::read;

/// Clusters that are counted at once.
const BATCH: usize = 32;
/// Bytes of blocks of counts that are kept.
const CACHE: usize = 4 << 20;

/// The counts.
#[derive(Debug)]
pub struct Refcounts {
    cluster_bits: u32,
    /// Bits of a count.
    bits: u32,
    place: u64,
    table: Vec<u64>,
    cache: HashMap<u64, Vec<u8>>,
    /// Where everything before is in use, or was when we came by.
    next: u64,
    ready: VecDeque<u64>,
    unused: Vec<u64>,
    /// Numbers of the clusters that hold the image's own tables.
    pub tables: HashSet<u64>,
    /// Bytes of the file.
    pub end: u64,
}

impl Refcounts {
    /// Reads the table.
    ///
    /// # Errors
    /// A [`Flaw`], or as the system says.
    pub fn open(file: &File, header: &Header, end: u64) -> io::Result<Self> {
        let cluster = header.cluster();
        let mut bytes = vec![0; (header.refcount_clusters * cluster) as usize];
        read(file, header.refcount_table, &mut bytes)?;
        let table: Vec<u64> = bytes.as_chunks().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        let mut all = Self {
            cluster_bits: header.cluster_bits,
            bits: 1 << header.refcount_order,
            place: header.refcount_table,
            table,
            cache: HashMap::new(),
            next: 0,
            ready: VecDeque::new(),
            unused: Vec::new(),
            tables: HashSet::new(),
            end,
        };
        all.add_table("the header", 0, 1)?;
        all.add_table("the table of reference counts", header.refcount_table, header.refcount_clusters)?;
        for entry in all.table.clone() {
            if entry != 0 {
                all.add_table("a block of reference counts", entry, 1)?;
            }
        }
        Ok(all)
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Counts that a block holds.
    fn per_block(&self) -> u64 {
        self.cluster() * 8 / u64::from(self.bits)
    }

    /// Notes that a table is at a place, where nothing else may be.
    ///
    /// # Errors
    /// [`Flaw::Place`] and [`Flaw::Overlap`].
    pub fn add_table(&mut self, what: &'static str, place: u64, clusters: u64) -> Result<(), Flaw> {
        self.check(what, place)?;
        let first = place >> self.cluster_bits;
        for number in first..first + clusters {
            if !self.tables.insert(number) {
                return Err(Flaw::Overlap(what, place));
            }
        }
        Ok(())
    }

    /// Refuses a place that is not a cluster in the file.
    ///
    /// # Errors
    /// [`Flaw::Place`].
    pub fn check(&self, what: &'static str, place: u64) -> Result<(), Flaw> {
        let is_there = place < self.end && place < PLACE_MAX && place.is_multiple_of(self.cluster());
        if is_there { Ok(()) } else { Err(Flaw::Place(what, place)) }
    }

    /// The block of counts at a place.
    fn block(&mut self, file: &File, place: u64) -> io::Result<&mut Vec<u8>> {
        let cluster = self.cluster() as usize;
        if !self.cache.contains_key(&place) {
            // What is kept is what the file holds.
            if (self.cache.len() + 1) * cluster > CACHE {
                self.cache.clear();
            }
            let mut bytes = vec![0; cluster];
            read(file, place, &mut bytes)?;
            self.cache.insert(place, bytes);
        }
        Ok(self.cache.entry(place).or_default())
    }

    /// The count of cluster `number`.
    fn count(&mut self, file: &File, number: u64) -> io::Result<u64> {
        let (index, at) = (number / self.per_block(), number % self.per_block());
        let bits = self.bits;
        match self.table.get(index as usize).copied() {
            None | Some(0) => Ok(0),
            Some(place) => Ok(get(self.block(file, place)?, bits, at)),
        }
    }

    /// Sets the count of cluster `number`, whose block is there.
    fn set(&mut self, file: &File, number: u64, count: u64) -> io::Result<()> {
        let (index, at) = (number / self.per_block(), number % self.per_block());
        let bits = self.bits;
        let place = self.table.get(index as usize).copied().unwrap_or(0);
        self.check("a block of reference counts", place)?;
        let block = self.block(file, place)?;
        let range = put(block, bits, at, count);
        file.write_all_at(&block[range.clone()], place + range.start as u64)
    }

    /// A cluster that is counted, reads as zeros, and is nobody's.
    ///
    /// # Errors
    /// A [`Flaw`], or as the system says.
    pub fn allocate(&mut self, file: &File) -> io::Result<u64> {
        if self.ready.is_empty() {
            self.fetch(file)?;
        }
        self.ready.pop_front().ok_or_else(|| Flaw::Full.into())
    }

    fn fetch(&mut self, file: &File) -> io::Result<()> {
        let mut found = Vec::new();
        while found.len() < BATCH {
            let number = self.next;
            self.next += 1;
            if number >= PLACE_MAX >> self.cluster_bits {
                return Err(Flaw::Full.into());
            }
            self.ensure_block(file, number)?;
            if self.count(file, number)? == 0 {
                let place = number << self.cluster_bits;
                if self.tables.contains(&number) {
                    return Err(Flaw::Count(place).into());
                }
                self.clear(file, place)?;
                self.set(file, number, 1)?;
                found.push(place);
            }
        }
        fdatasync(file)?;
        self.ready.extend(found);
        Ok(())
    }

    /// Makes a cluster read as zeros.
    fn clear(&mut self, file: &File, place: u64) -> io::Result<()> {
        let end = place + self.cluster();
        if place < self.end {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if fallocate(file, how, place, self.cluster()).is_err() {
                file.write_all_at(&vec![0; self.cluster() as usize], place)?;
            }
        }
        self.extend(file, end)
    }

    fn extend(&mut self, file: &File, end: u64) -> io::Result<()> {
        if end > self.end {
            // A block device has the size that it has.
            if file.metadata()?.is_file() {
                file.set_len(end)?;
            } else {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.end = end;
        }
        Ok(())
    }

    /// Sees to it that there is a block of counts for cluster `number`. A new one is the first cluster of those that
    /// it counts.
    fn ensure_block(&mut self, file: &File, number: u64) -> io::Result<()> {
        let index = number / self.per_block();
        if index >= self.table.len() as u64 {
            return self.grow(file);
        }
        if self.table[index as usize] != 0 {
            return Ok(());
        }
        let place = self.new_block(file, index, 1)?;
        fdatasync(file)?;
        self.table[index as usize] = place;
        file.write_all_at(&place.to_be_bytes(), self.place + index * 8)
    }

    /// Writes a new block of counts in which the first `count` clusters, itself among them, are counted.
    fn new_block(&mut self, file: &File, index: u64, count: u64) -> io::Result<u64> {
        let first = index * self.per_block();
        let place = first << self.cluster_bits;
        if let Some(number) = (first..first + count).find(|number| self.tables.contains(number)) {
            return Err(Flaw::Count(number << self.cluster_bits).into());
        }
        for number in first..first + count {
            self.clear(file, number << self.cluster_bits)?;
            self.tables.insert(number);
        }
        let mut block = vec![0; self.cluster() as usize];
        for at in 0..count {
            put(&mut block, self.bits, at, 1);
        }
        file.write_all_at(&block, place)?;
        self.cache.insert(place, block);
        Ok(place)
    }

    /// Makes a table that is twice as large, behind the first block that the old one has no room for.
    fn grow(&mut self, file: &File) -> io::Result<()> {
        let index = self.table.len() as u64;
        let clusters = (index * 2 * 8).div_ceil(self.cluster());
        if clusters >= self.per_block() {
            return Err(Flaw::Full.into());
        }
        let block = self.new_block(file, index, clusters + 1)?;
        let place = block + self.cluster();
        let mut table = self.table.clone();
        table.push(block);
        table.resize((clusters * self.cluster() / 8) as usize, 0);
        let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        file.write_all_at(&bytes, place)?;
        fdatasync(file)?;
        let mut fields = place.to_be_bytes().to_vec();
        fields.extend((clusters as u32).to_be_bytes());
        file.write_all_at(&fields, REFCOUNT_TABLE)?;
        fdatasync(file)?;
        let old = (self.table.len() as u64 * 8).div_ceil(self.cluster());
        let (first, cluster) = (self.place, self.cluster());
        self.unused.extend((0..old).map(|i| first + i * cluster));
        (self.table, self.place) = (table, place);
        Ok(())
    }

    /// Notes that nothing refers to a cluster any more. It is not used again before the image is opened again: reads
    /// of it may be under way.
    pub fn release(&mut self, place: u64) {
        self.unused.push(place);
    }

    /// Gives back what is not used. Nothing that referred to it is on disk any more after this has waited.
    ///
    /// # Errors
    /// As the system says; then what is not used stays counted.
    pub fn close(&mut self, file: &File) -> io::Result<()> {
        if self.unused.is_empty() && self.ready.is_empty() {
            return Ok(());
        }
        fdatasync(file)?;
        let unused = std::mem::take(&mut self.unused);
        for place in unused.into_iter().chain(std::mem::take(&mut self.ready)) {
            let number = place >> self.cluster_bits;
            // Compressed clusters share what they are in.
            if let Some(rest) = self.count(file, number)?.checked_sub(1) {
                self.set(file, number, rest)?;
            }
        }
        Ok(())
    }
}

/// The count at index `at` of a block whose counts have `bits` bits (1 to 64).
fn get(block: &[u8], bits: u32, at: u64) -> u64 {
    let start = (at * u64::from(bits) / 8) as usize;
    if bits >= 8 {
        let bytes = &block[start..start + bits as usize / 8];
        return bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    u64::from(block[start] & mask(bits, at)) >> (at * u64::from(bits) % 8)
}

/// The bits of a count that is smaller than a byte: the first count of a byte is in its low bits.
fn mask(bits: u32, at: u64) -> u8 {
    ((1u8 << bits) - 1) << (at * u64::from(bits) % 8)
}

/// Sets a count to a value that it can hold. Gives the bytes that changed.
fn put(block: &mut [u8], bits: u32, at: u64, value: u64) -> std::ops::Range<usize> {
    let start = (at * u64::from(bits) / 8) as usize;
    if bits >= 8 {
        let range = start..start + bits as usize / 8;
        block[range.clone()].copy_from_slice(&value.to_be_bytes()[8 - range.len()..]);
        return range;
    }
    let mask = mask(bits, at);
    block[start] = block[start] & !mask | (value << (at * u64::from(bits) % 8)) as u8 & mask;
    start..start + 1
}

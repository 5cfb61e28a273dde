//! The two levels of tables that say where the disk's clusters are.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::flaw::Flaw;
use super::header::{Header, PLACE_MAX};
use super::refcounts::Refcounts;
use crate::block::engine::read;

/// Bytes of L2 tables that are kept.
const CACHE: usize = 8 << 20;
/// In an entry: nothing else refers to what it points to.
const ALONE: u64 = 1 << 63;
/// In an L2 entry: compressed.
const COMPRESSED: u64 = 1 << 62;
/// In an L2 entry of version 3: zeros.
const ZEROS: u64 = 1;
const PLACE: u64 = (PLACE_MAX - 1) & !0x1ff;

/// Where a cluster of the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// Nowhere: as the backing file says.
    Nowhere,
    /// It is zeros, perhaps with a place that is not used.
    Zeros(Option<u64>),
    /// At a place in the file.
    Place {
        /// Where.
        place: u64,
        /// Whether nothing else is there.
        alone: bool,
    },
    /// Compressed.
    Compressed {
        /// Where it begins.
        place: u64,
        /// Bytes, at most.
        len: usize,
    },
}

/// The tables.
#[derive(Debug)]
pub struct Tables {
    l1: Vec<u64>,
    cache: HashMap<u64, Vec<u64>>,
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect()
}

impl Tables {
    /// Reads the L1 table, and notes where all tables are.
    ///
    /// # Errors
    /// A [`Flaw`], or as the system says.
    pub fn open(file: &File, header: &Header, counts: &mut Refcounts) -> io::Result<Self> {
        let mut bytes = vec![0; header.l1_entries * 8];
        if !bytes.is_empty() {
            let clusters = (bytes.len() as u64).div_ceil(header.cluster());
            counts.add_table("the L1 table", header.l1_place, clusters)?;
            read(file, header.l1_place, &mut bytes)?;
        }
        let l1 = words(&bytes);
        for entry in l1.iter().filter(|entry| **entry & PLACE != 0) {
            counts.add_table("an L2 table", entry & PLACE, 1)?;
        }
        Ok(Self { l1, cache: HashMap::new() })
    }

    /// Splits an offset on the disk into the indices of its entries.
    fn indices(header: &Header, offset: u64) -> (usize, usize) {
        let number = offset >> header.cluster_bits;
        let l2_bits = header.cluster_bits - 3;
        ((number >> l2_bits) as usize, (number & ((1 << l2_bits) - 1)) as usize)
    }

    fn l2(&mut self, file: &File, header: &Header, place: u64) -> io::Result<&mut Vec<u64>> {
        let cluster = header.cluster() as usize;
        if !self.cache.contains_key(&place) {
            // What is kept is what the file holds.
            if (self.cache.len() + 1) * cluster > CACHE {
                self.cache.clear();
            }
            let mut bytes = vec![0; cluster];
            read(file, place, &mut bytes)?;
            self.cache.insert(place, words(&bytes));
        }
        Ok(self.cache.entry(place).or_default())
    }

    /// Where the cluster with byte `offset` of the disk is.
    ///
    /// # Errors
    /// A [`Flaw`], or as the system says.
    pub fn find(
        &mut self,
        file: &File,
        header: &Header,
        counts: &Refcounts,
        offset: u64,
    ) -> io::Result<Cluster> {
        let (l1, l2) = Self::indices(header, offset);
        let table = match self.l1.get(l1) {
            None => return Err(Flaw::Place("a cluster of the disk", offset).into()),
            Some(entry) => entry & PLACE,
        };
        if table == 0 {
            return Ok(Cluster::Nowhere);
        }
        let entry = self.l2(file, header, table)?[l2];
        Ok(decode(header, counts, entry)?)
    }

    /// Has the cluster with byte `offset` of the disk be at `place`, which nothing else refers to.
    ///
    /// # Errors
    /// A [`Flaw`], or as the system says.
    pub fn set(
        &mut self,
        file: &File,
        header: &Header,
        counts: &mut Refcounts,
        offset: u64,
        place: u64,
    ) -> io::Result<()> {
        let (l1, l2) = Self::indices(header, offset);
        let mut entry = self.l1[l1];
        if entry & PLACE == 0 {
            let table = counts.allocate(file)?;
            counts.add_table("an L2 table", table, 1)?;
            entry = table | ALONE;
            file.write_all_at(&entry.to_be_bytes(), header.l1_place + l1 as u64 * 8)?;
            self.l1[l1] = entry;
        }
        let table = entry & PLACE;
        let entry = place | ALONE;
        file.write_all_at(&entry.to_be_bytes(), table + l2 as u64 * 8)?;
        self.l2(file, header, table)?[l2] = entry;
        Ok(())
    }
}

fn decode(header: &Header, counts: &Refcounts, entry: u64) -> Result<Cluster, Flaw> {
    if entry & COMPRESSED != 0 {
        // The place takes 62 bits less those that count further sectors.
        let bits = 62 - (header.cluster_bits - 8);
        let place = entry & ((1 << bits) - 1);
        let sectors = (entry & (COMPRESSED - 1)) >> bits;
        if place >= counts.end || place >= PLACE_MAX {
            return Err(Flaw::Place("a compressed cluster", place));
        }
        let len = (sectors + 1) * 512 - place % 512;
        return Ok(Cluster::Compressed { place, len: len as usize });
    }
    let place = entry & PLACE;
    let is_zeros = header.version >= 3 && entry & ZEROS != 0;
    if entry & !(ALONE | PLACE | if is_zeros { ZEROS } else { 0 }) != 0 {
        return Err(Flaw::Place("a cluster of the disk", entry));
    }
    if place == 0 {
        return Ok(if is_zeros { Cluster::Zeros(None) } else { Cluster::Nowhere });
    }
    counts.check("a cluster of the disk", place)?;
    if counts.tables.contains(&(place >> header.cluster_bits)) {
        return Err(Flaw::Overlap("a cluster of the disk", place));
    }
    match is_zeros {
        true => Ok(Cluster::Zeros(Some(place))),
        false => Ok(Cluster::Place { place, alone: entry & ALONE != 0 }),
    }
}

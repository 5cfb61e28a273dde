//! Devices of the test machine: configuration space and memory that remember what is written, and vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use crate::ids::{CpuId, Vector};
use crate::iommu::DmaRun;
use crate::vioapic::Route;
use crate::vpci::{Bdf, Register, Size};

const FIRST_VECTOR: u8 = 0x40;
/// Few, so that tests can use them up.
const LAST_VECTOR: u8 = 0x47;

/// What the devices hold.
#[derive(Default)]
pub struct TestDevices {
    /// Each function's registers, with the bits of them that can be written.
    pub functions: BTreeMap<Bdf, BTreeMap<u16, (u32, u32)>>,
    /// Device memory in words.
    pub memory: BTreeMap<u64, u32>,
    /// Vectors taken.
    pub vectors: BTreeSet<u8>,
    /// What the IOMMU was made to forget.
    pub forgotten: Vec<DmaRun>,
    /// Pins as they were routed, the latest last.
    pub routes: Vec<(Route, CpuId)>,
}

impl TestDevices {
    pub(super) fn read_config(&self, at: Register, size: Size) -> u32 {
        let Some(function) = self.functions.get(&at.bdf) else { return size.ones() };
        let word = function.get(&(at.offset & !3)).map_or(0, |(value, _)| *value);
        word >> (8 * (at.offset & 3)) & size.ones()
    }

    pub(super) fn write_config(&mut self, at: Register, size: Size, value: u32) {
        let Some(function) = self.functions.get_mut(&at.bdf) else { return };
        let Some((word, writable)) = function.get_mut(&(at.offset & !3)) else { return };
        let shift = 8 * (at.offset & 3);
        let mask = size.ones() << shift & *writable;
        *word = *word & !mask | value << shift & mask;
    }

    pub(super) fn read_memory(&self, at: u64, bytes: u64) -> u64 {
        let word = |at: u64| u64::from(self.memory.get(&at).copied().unwrap_or(0));
        let value = word(at & !3) | word((at & !3) + 4) << 32;
        value >> (8 * (at & 3)) & u64::MAX >> (64 - 8 * bytes)
    }

    pub(super) fn write_memory(&mut self, at: u64, value: u64) {
        self.memory.insert(at, value as u32);
    }

    pub(super) fn take_vector(&mut self) -> Option<Vector> {
        let free = (FIRST_VECTOR..=LAST_VECTOR).find(|vector| !self.vectors.contains(vector))?;
        self.vectors.insert(free);
        Some(Vector(free))
    }
}

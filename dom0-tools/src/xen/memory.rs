//! Memory of other domains: `memory_op`.

use hypercall_abi::Word;
use hypercall_abi::abi::CompatU64;
use hypercall_abi::memory::{
    E820Entry, ForeignMemoryMap, MemFlags, MemoryMap, POPULATE_PHYSMAP, Reservation, SET_MEMORY_MAP,
};

use super::error::XenError;
use super::hypercall::Xen;
use crate::builder::layout::{ExtentRun, MapEntry};

/// Extents per call: 32 KiB of frame numbers.
const BATCH: u64 = 4096;

/// Memory ran out while a domain was being populated.
#[derive(Debug)]
pub struct PopulateError {
    /// The first guest frame that got no memory.
    pub gfn: u64,
    /// The hypervisor's answer; `None` if it gave less than was asked for without saying why.
    pub cause: Option<XenError>,
}

impl Xen {
    /// Gives `domain` memory at the extents of `run`.
    ///
    /// # Errors
    /// [`PopulateError`]; what was populated before stays.
    pub fn populate(&self, domain: u16, run: ExtentRun) -> Result<(), PopulateError> {
        let mut done = 0;
        while done < run.count {
            let gfn = |extent: u64| run.first + (extent << run.order);
            let fail = |cause| PopulateError { gfn: gfn(done), cause };
            let batch: Vec<u64> = (done..run.count.min(done + BATCH)).map(gfn).collect();
            let mut frames = self.buffer_of(&batch).map_err(|e| fail(Some(e)))?;
            let mut reservation: Reservation = Reservation {
                extent_start: frames.handle(),
                nr_extents: batch.len() as u64,
                extent_order: run.order,
                mem_flags: MemFlags::empty(),
                domid: domain,
                ..Reservation::default()
            };
            let populated = self
                .memory_op("memory_op populate_physmap", POPULATE_PHYSMAP, &mut reservation)
                .map_err(|e| fail(Some(e)))?;
            if u64::from(populated) < batch.len() as u64 {
                done += u64::from(populated);
                return Err(PopulateError { gfn: gfn(done), cause: None });
            }
            done += batch.len() as u64;
        }
        Ok(())
    }

    /// Sets the memory map that `domain` is told by `XENMEM_memory_map`.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn set_memory_map(&self, domain: u16, map: &[MapEntry]) -> Result<(), XenError> {
        let entries: Vec<E820Entry> = map
            .iter()
            .map(|entry| E820Entry {
                addr: CompatU64::truncated(entry.start),
                size: CompatU64::truncated(entry.size),
                kind: entry.kind as u32,
            })
            .collect();
        let mut buffer = self.buffer_of(&entries)?;
        let map: MemoryMap =
            MemoryMap { nr_entries: entries.len() as u32, buffer: buffer.handle(), ..MemoryMap::default() };
        let mut argument: ForeignMemoryMap =
            ForeignMemoryMap { domid: domain, map, ..ForeignMemoryMap::default() };
        self.memory_op("memory_op set_memory_map", SET_MEMORY_MAP, &mut argument).map(drop)
    }
}

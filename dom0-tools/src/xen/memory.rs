//! Memory of other domains: `memory_op`.

use std::io;

use hypercall_abi::Word;
use hypercall_abi::abi::CompatU64;
use hypercall_abi::errno::Errno;
use hypercall_abi::memory::{
    CLAIM_PAGES, E820Entry, ForeignMemoryMap, MemFlags, MemoryMap, POPULATE_PHYSMAP, Reservation,
    SET_MEMORY_MAP,
};

use super::error::XenError;
use super::hypercall::Xen;
use crate::builder::layout::{ExtentRun, MapEntry};

/// Extents per call: 32 KiB of frame numbers.
const BATCH: u64 = 4096;
const POPULATE: &str = "memory_op populate_physmap";

impl Xen {
    /// Gives `domain` memory at the extents of `run`. Where the hypervisor has no extent of that size left, it
    /// is made of smaller ones.
    ///
    /// # Errors
    /// As the hypervisor says, or [`Errno::ENOMEM`] if it gave less without saying why; what was populated
    /// before stays.
    pub fn populate(&self, domain: u16, run: ExtentRun) -> Result<(), XenError> {
        let mut rest = vec![run];
        while let Some(run) = rest.pop() {
            let batch = ExtentRun { count: run.count.min(BATCH), ..run };
            let done = match self.populate_batch(domain, batch) {
                Err(e) if run.order == 0 || !e.is(Errno::ENOMEM) => return Err(e),
                Err(_) => 0,
                Ok(done) if done < batch.count && run.order == 0 => {
                    let cause = io::Error::from_raw_os_error(Errno::ENOMEM as i32);
                    return Err(XenError::new(POPULATE, cause));
                }
                Ok(done) => done,
            };
            let Some(left) = run.after(done) else { continue };
            if done == batch.count {
                rest.push(left);
            } else {
                // The next extent could not be had whole.
                rest.extend(left.after(1));
                rest.push(left.first_in_smaller());
            }
        }
        Ok(())
    }

    /// Sets free memory aside, so that `domain` can have `pages` in all; 0 ends that.
    ///
    /// # Errors
    /// [`Errno::ENOMEM`] if there is not so much; others as the hypervisor says.
    pub fn claim(&self, domain: u16, pages: u64) -> Result<(), XenError> {
        let mut claim: Reservation =
            Reservation { nr_extents: pages, domid: domain, ..Reservation::default() };
        self.memory_op("memory_op claim_pages", CLAIM_PAGES, &mut claim).map(drop)
    }

    /// Populates at most [`BATCH`] extents. Returns how many were.
    fn populate_batch(&self, domain: u16, run: ExtentRun) -> Result<u64, XenError> {
        let frames: Vec<u64> = (0..run.count).map(|extent| run.first + (extent << run.order)).collect();
        let mut buffer = self.buffer_of(&frames)?;
        let mut reservation: Reservation = Reservation {
            extent_start: buffer.handle(),
            nr_extents: run.count,
            extent_order: run.order,
            mem_flags: MemFlags::empty(),
            domid: domain,
            ..Reservation::default()
        };
        self.memory_op(POPULATE, POPULATE_PHYSMAP, &mut reservation).map(u64::from)
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

//! The page tables of a domain's memory: those of its vCPUs, and those of its devices if an IOMMU translates for them.
//!
//! Invariants: the devices' tables never lead to memory that the vCPUs' do not lead to at the same guest frame, nor let
//! it be written where those do not; but for reserved ranges that firmware wants devices to reach
//! ([`Space::map_reserved`]), which are no memory of anybody's. Device memory is not in them: no device reaches another.
//! A change happens in both or in neither.

use core::ops::Deref;

use crate::domain::MAX_ENDING;
use crate::frame::{Gfn, Mfn};
use crate::iommu::{DmaRun, QUEUE_LEN};
use crate::machine::Machine;
use crate::p2m::{Access, Dma, Entry, Flush, P2m, P2mError, PageType, Progress};

// A batch of changes is one run of commands for a unit, with the command that waits for them.
const _: () = assert!(MAX_ENDING < QUEUE_LEN - 1);

/// Both trees. It can be read as what the vCPUs see.
pub(crate) struct Space<M: Machine> {
    machine: M,
    cpu: P2m<M::Format, M::Tables>,
    dma: Option<P2m<Dma, M::Tables>>,
}

/// What a change left in caches: the vCPUs', and those of the IOMMU.
#[derive(Default)]
pub(super) struct Change {
    pub cpu: Flush,
    dma: Option<(DmaRun, Flush)>,
}

impl<M: Machine> Deref for Space<M> {
    type Target = P2m<M::Format, M::Tables>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.cpu
    }
}

impl<M: Machine> Space<M> {
    pub(super) fn new(machine: M) -> Result<Self, P2mError> {
        Ok(Self { machine, cpu: P2m::new(machine.p2m_format(), machine.tables())?, dma: None })
    }

    /// Gives the devices tables of their own. Nothing is mapped yet.
    pub(super) fn translate_dma(&mut self, format: Dma, tables: M::Tables) -> Result<Mfn, P2mError> {
        let dma = P2m::new(format, tables)?;
        let root = dma.root();
        self.dma = Some(dma);
        Ok(root)
    }

    pub(super) fn is_dma_translated(&self) -> bool {
        self.dma.is_some()
    }

    pub(super) fn set_max_tables(&mut self, max: usize) {
        self.cpu.max_tables = max;
        if let Some(dma) = &mut self.dma {
            dma.max_tables = max;
        }
    }

    /// As [`P2m::map`]. Device memory is only put where nothing is.
    pub(super) fn map(
        &mut self,
        gfn: Gfn,
        mfn: Mfn,
        order: u32,
        kind: PageType,
        access: Access,
    ) -> Result<Change, P2mError> {
        let Some(dma) = self.dma.as_mut().filter(|_| kind != PageType::MmioDirect) else {
            return Ok(Change { cpu: self.cpu.map(gfn, mfn, order, kind, access)?, dma: None });
        };
        let run = DmaRun { gfn, order };
        let changed = dma.map(gfn, mfn, order, kind, Access { execute: false, ..access })?;
        match self.cpu.map(gfn, mfn, order, kind, access) {
            Ok(cpu) => Ok(Change { cpu, dma: Some((run, changed)) }),
            Err(error) => {
                // The way back needs no table: those to the entry are there.
                let undone = match dma.flushed(changed) {
                    Some(old) => dma.map(gfn, old.mfn, order, old.kind, old.access)?,
                    None => dma.unmap(gfn, order)?,
                };
                self.machine.flush_dma(&[run]);
                dma.flushed(undone);
                Err(error)
            }
        }
    }

    /// Unmaps one guest frame, as [`P2m::unmap`].
    pub(super) fn unmap(&mut self, gfn: Gfn) -> Result<Change, P2mError> {
        let is_device = self.cpu.lookup(gfn).is_some_and(|entry| entry.kind == PageType::MmioDirect);
        let Some(dma) = self.dma.as_mut().filter(|_| !is_device) else {
            return Ok(Change { cpu: self.cpu.unmap(gfn, 0)?, dma: None });
        };
        dma.split(gfn)?;
        let cpu = self.cpu.unmap(gfn, 0)?;
        Ok(Change { cpu, dma: Some((DmaRun { gfn, order: 0 }, dma.clear(gfn))) })
    }

    /// Lets devices reach a frame that is nobody's memory, at its own number.
    pub(super) fn map_reserved(&mut self, frame: Mfn, access: Access) -> Result<(), P2mError> {
        if let Some(dma) = &mut self.dma {
            let change = dma.map(Gfn(frame.0), frame, 0, PageType::MmioDirect, access)?;
            if change.is_needed() {
                self.machine.flush_dma(&[DmaRun { gfn: Gfn(frame.0), order: 0 }]);
            }
            dma.flushed(change);
        }
        Ok(())
    }

    /// Waits until the IOMMU has forgotten what the changes removed. To be called before [`done`](Self::done).
    pub(super) fn flush_dma(&self, changes: &[Option<Change>]) {
        if self.dma.is_none() {
            return;
        }
        let mut runs = [DmaRun::default(); MAX_ENDING];
        let stale = changes.iter().flatten().filter_map(|change| change.dma.as_ref());
        let stale = stale.filter(|(_, flush)| flush.is_needed());
        let count = runs.iter_mut().zip(stale).map(|(place, (run, _))| *place = *run).count();
        if let Some(runs) = runs.get(..count).filter(|runs| !runs.is_empty()) {
            self.machine.flush_dma(runs);
        }
    }

    /// Ends a change after its flushes, as [`P2m::flushed`].
    pub(super) fn done(&self, change: Change) -> Option<Entry> {
        if let (Some(dma), Some((_, flush))) = (&self.dma, change.dma) {
            dma.flushed(flush);
        }
        self.cpu.flushed(change.cpu)
    }

    /// As [`P2m::drain`]. The devices' tables go first; no unit uses them any more.
    pub fn drain(&mut self, budget: usize, on_leaf: impl FnMut(Gfn, Entry)) -> Progress {
        if let Some(dma) = &mut self.dma
            && dma.drain(budget, |_, _| ()) == Progress::More
        {
            return Progress::More;
        }
        self.cpu.drain(budget, on_leaf)
    }
}

#[cfg(all(test, not(loom)))]
#[path = "space_tests.rs"]
mod tests;

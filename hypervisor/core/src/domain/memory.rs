//! A domain's guest-physical memory.
//!
//! The p2m owns a frame reference for every mapping of memory (not of MMIO). A mapping that is withdrawn is flushed
//! out of every CPU and of the IOMMU before that reference is dropped, under the p2m's write lock, so a frame is never
//! reused while a TLB still leads to it.
//!
//! Guest memory is read or written by copying under the read lock: the mapping, and with it the frame, cannot go
//! away in between. Who needs a page for longer takes a [`FrameRef`] of its own.

mod grants;
mod space;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{MAX_ENDING, NestedTlb, VcpuView};
use crate::frame::{Gaddr, Gfn, Mfn, PAGE_SIZE};
use crate::frames::{FrameKind, FrameRef};
use crate::ids::DomId;
use crate::machine::Machine;
use crate::p2m::{Access, Dma, Entry, Extent, P2mError, PageType};
use crate::refusals;
use crate::sync::{Class, RwLock};
use space::Change;
pub(crate) use space::Space;

refusals! {
    /// Guest memory that is not there, or not to be used that way.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum MemoryFault {
        /// Nothing, or a device, is at that guest-physical address.
        NotMemory(at: Gaddr) => EFAULT, "no memory at guest-physical {at}";
        /// It may not be written.
        ReadOnly(at: Gaddr) => EFAULT, "guest-physical {at} is read-only";
    }
}

/// The address space and its limits.
pub struct DomainMemory<M: Machine> {
    pub(super) machine: M,
    domain: DomId,
    /// The mappings.
    pub(crate) p2m: RwLock<Space<M>>,
    /// Counts flushes, under the p2m's write lock; each vCPU compares it with what it has acted on before it enters.
    pub(crate) tlb_epoch: AtomicU64,
    highest: AtomicU64,
    /// The most RAM frames that the domain may own.
    pub max_frames: AtomicU32,
}

impl<M: Machine> DomainMemory<M> {
    /// An empty address space.
    ///
    /// # Errors
    /// No page for the root table.
    pub fn new(machine: M, domain: DomId, max_frames: u32) -> Result<Self, P2mError> {
        Ok(Self {
            machine,
            domain,
            p2m: RwLock::new(Class::P2m, Space::new(machine)?),
            tlb_epoch: AtomicU64::new(0),
            highest: AtomicU64::new(0),
            max_frames: AtomicU32::new(max_frames),
        })
    }

    /// Has an IOMMU translate for the domain's devices, by tables of their own whose root comes back: from now on they
    /// reach what the vCPUs reach, memory of others that is mapped included.
    ///
    /// # Errors
    /// No page for the root table.
    pub fn translate_dma(&self, format: Dma, tables: M::Tables) -> Result<Mfn, P2mError> {
        self.p2m.write().translate_dma(format, tables)
    }

    /// Lets devices reach a frame that firmware has reserved for them, at its own number.
    ///
    /// # Errors
    /// As for any p2m change.
    pub fn map_reserved(&self, frame: Mfn, access: Access) -> Result<(), P2mError> {
        self.p2m.write().map_reserved(frame, access)
    }

    /// Whether an IOMMU translates for the domain's devices.
    pub fn is_dma_translated(&self) -> bool {
        self.p2m.read().is_dma_translated()
    }

    /// The root of the nested page table.
    pub fn root(&self) -> Mfn {
        self.p2m.read().root()
    }

    /// The most RAM frames that the domain may own.
    pub fn max_frames(&self) -> u32 {
        self.max_frames.load(Ordering::Relaxed)
    }

    /// Pages of nested page tables in use.
    pub fn tables(&self) -> usize {
        self.p2m.read().tables()
    }

    /// The most pages of nested page tables; [`u32::MAX`] for no limit.
    pub fn max_tables(&self) -> u32 {
        u32::try_from(self.p2m.read().max_tables).unwrap_or(u32::MAX)
    }

    /// Limits the pages of nested page tables, and as much those of the IOMMU's, so that a domain that scatters its
    /// mappings hurts itself only.
    pub fn set_max_tables(&self, max: u32) {
        self.p2m.write().set_max_tables(max as usize);
    }

    /// RAM frames that the domain owns.
    pub fn frames(&self) -> u32 {
        self.machine.table().owned_by(self.domain)
    }

    /// Whether any of `1 << order` guest frames maps to something.
    pub fn any_mapped(&self, gfn: Gfn, order: u32) -> bool {
        let p2m = self.p2m.read();
        let end = gfn.0 + (1 << order);
        let mut at = gfn.0;
        while at < end {
            match p2m.extent(Gfn(at)) {
                Extent::Leaf(_) => return true,
                Extent::Hole { order } => at = ((at >> order) + 1) << order,
            }
        }
        false
    }

    /// How many frames of another domain's RAM are mapped as foreign from a guest frame on, in so many places, and the
    /// guest frame to go on with.
    pub fn count_foreign(&self, owner: DomId, from: Gfn, budget: u32) -> (u32, Option<Gfn>) {
        let (p2m, highest) = (self.p2m.read(), self.highest_gfn());
        let (mut at, mut count) = (from, 0);
        for _ in 0..budget {
            if at > highest {
                return (count, None);
            }
            let order = match p2m.extent(at) {
                Extent::Hole { order } => order,
                Extent::Leaf(entry) => {
                    let is_its = self.machine.table().kind(entry.mfn) == Some(FrameKind::Ram(owner));
                    count += u32::from(entry.kind == PageType::Foreign && is_its);
                    entry.order
                }
            };
            at = Gfn(((at.0 >> order) + 1) << order);
        }
        (count, Some(at))
    }

    /// The highest guest frame that has ever been mapped.
    pub fn highest_gfn(&self) -> Gfn {
        Gfn(self.highest.load(Ordering::Relaxed))
    }

    /// What a guest frame maps to.
    pub fn lookup(&self, gfn: Gfn) -> Option<Entry> {
        self.p2m.read().lookup(gfn)
    }

    /// A reference of the caller's own to the domain's RAM at `gfn`.
    ///
    /// # Errors
    /// Not memory of its own.
    pub fn own_page(&self, gfn: Gfn) -> Result<FrameRef<M>, MemoryFault> {
        let p2m = self.p2m.read();
        match p2m.lookup(gfn) {
            Some(Entry { mfn, kind: PageType::Ram, .. }) => {
                FrameRef::get(self.machine, mfn).ok_or(MemoryFault::NotMemory(gfn.addr()))
            }
            _ => Err(MemoryFault::NotMemory(gfn.addr())),
        }
    }

    /// The memory as it is now, for one of the domain's vCPUs, with what that remembers of it. Mappings stay as they
    /// are for as long as the view lives.
    #[inline]
    pub fn vcpu_view<'a>(&'a self, tlb: &'a NestedTlb) -> VcpuView<'a, M> {
        VcpuView::new(self, tlb)
    }

    /// Copies into guest-physical memory.
    ///
    /// # Errors
    /// Part of it is not writable memory; what comes before that may have been written.
    pub fn write(&self, at: Gaddr, from: &[u8]) -> Result<(), MemoryFault> {
        let tlb = NestedTlb::default();
        let memory = self.vcpu_view(&tlb);
        let (mut at, mut rest) = (at, from);
        while !rest.is_empty() {
            let (piece, next) = rest.split_at(rest.len().min(PAGE_SIZE - at.offset()));
            memory.write(at, piece)?;
            at = at.checked_add(piece.len() as u64).ok_or(MemoryFault::NotMemory(at))?;
            rest = next;
        }
        Ok(())
    }

    /// Maps a frame; the p2m takes over the reference. What was mapped there before is flushed out and let go.
    ///
    /// # Errors
    /// The frame comes back with the reason.
    pub fn map(
        &self,
        gfn: Gfn,
        frame: FrameRef<M>,
        kind: PageType,
        access: Access,
        flush: impl FnOnce(),
    ) -> Result<(), (P2mError, FrameRef<M>)> {
        let mut p2m = self.p2m.write();
        match p2m.map(gfn, frame.mfn(), 0, kind, access) {
            Ok(token) => {
                let _owned_by_p2m = frame.into_mfn();
                self.highest.fetch_max(gfn.0, Ordering::Relaxed);
                self.finish(&p2m, &mut [Some(token)], flush);
                Ok(())
            }
            Err(error) => Err((error, frame)),
        }
    }

    /// Maps a run of RAM frames whose references the caller owes; nothing may be mapped there yet, or it is replaced.
    ///
    /// # Errors
    /// The caller still owes the references.
    pub fn map_run(&self, gfn: Gfn, mfn: Mfn, order: u32, flush: impl FnOnce()) -> Result<(), P2mError> {
        let mut p2m = self.p2m.write();
        let token = p2m.map(gfn, mfn, order, PageType::Ram, Access::ALL)?;
        self.highest.fetch_max(gfn.0 + (1 << order) - 1, Ordering::Relaxed);
        self.finish(&p2m, &mut [Some(token)], flush);
        Ok(())
    }

    /// Passes `1 << order` frames of device memory through, each at its own number, if nothing is mapped there. A page
    /// that is there already is left alone.
    ///
    /// # Errors
    /// [`P2mError::Finer`] if there is something in the run; others as for any p2m change.
    pub fn map_device(&self, first: Gfn, order: u32, access: Access) -> Result<(), P2mError> {
        let mut p2m = self.p2m.write();
        match p2m.extent(first) {
            Extent::Leaf(_) if order == 0 => return Ok(()),
            Extent::Hole { order: hole } if hole >= order => {}
            Extent::Hole { .. } | Extent::Leaf(_) => return Err(P2mError::Finer { gfn: first, order }),
        }
        let token = p2m.map(first, Mfn(first.0), order, PageType::MmioDirect, access)?;
        self.finish(&p2m, &mut [Some(token)], || ());
        Ok(())
    }

    /// Withdraws the mapping of one guest frame, if it is what `expect` accepts. Returns what it was.
    ///
    /// # Errors
    /// Nothing is mapped, or it is not what was expected ([`P2mError::NotMapped`]), or a table is missing.
    pub fn unmap(
        &self,
        gfn: Gfn,
        expect: impl FnOnce(&Entry) -> bool,
        flush: impl FnOnce(),
    ) -> Result<Entry, P2mError> {
        let mut p2m = self.p2m.write();
        let entry = p2m.lookup(gfn).filter(expect).ok_or(P2mError::NotMapped { gfn })?;
        let token = p2m.unmap(gfn)?;
        self.finish(&p2m, &mut [Some(token)], flush);
        Ok(entry)
    }

    /// Withdraws the domain's RAM from `1 << order` guest frames, from the first on.
    ///
    /// # Errors
    /// [`P2mError::NotMapped`] names the first that is not RAM: those before it are gone. Others as for any change.
    pub fn unmap_ram(&self, gfn: Gfn, order: u32, flush: impl Fn()) -> Result<(), P2mError> {
        let mut gfns = gfn.0..gfn.0 + (1 << order);
        let mut result = Ok(());
        while !gfns.is_empty() && result.is_ok() {
            self.change_batch(&flush, |p2m| {
                let gfn = Gfn(gfns.next()?);
                let is_ram = p2m.lookup(gfn).is_some_and(|entry| entry.kind == PageType::Ram);
                let change = if is_ram { p2m.unmap(gfn) } else { Err(P2mError::NotMapped { gfn }) };
                change.map_err(|error| result = Err(error)).ok()
            });
        }
        result
    }

    /// Makes changes of the p2m until there is none or the batch is full, with one flush for all.
    fn change_batch(&self, flush: impl FnOnce(), mut change: impl FnMut(&mut Space<M>) -> Option<Change>) {
        let mut p2m = self.p2m.write();
        let mut changes = [const { None }; MAX_ENDING];
        for place in &mut changes {
            *place = change(&mut p2m);
            if place.is_none() {
                break;
            }
        }
        self.finish(&p2m, &mut changes, flush);
    }

    /// Makes every vCPU and the IOMMU forget cached translations, if there is need; then lets go of the frames that the
    /// changes removed.
    fn finish(&self, p2m: &Space<M>, changes: &mut [Option<Change>], flush: impl FnOnce()) {
        if changes.iter().flatten().any(|change| change.cpu.is_needed()) {
            self.tlb_epoch.fetch_add(1, Ordering::SeqCst);
            flush();
        }
        p2m.flush_dma(changes);
        let old = changes.iter_mut().filter_map(Option::take).filter_map(|change| p2m.done(change));
        old.for_each(|old| self.release(&old));
    }

    /// Drops the references that a withdrawn mapping owned.
    pub(crate) fn release(&self, old: &Entry) {
        if old.kind != PageType::MmioDirect {
            for i in 0..1 << old.order {
                drop(FrameRef::adopt(self.machine, Mfn(old.mfn.0 + i)));
            }
        }
    }
}

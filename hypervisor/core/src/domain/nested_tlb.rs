//! What a TLB is for the CPU's nested page walks, for ours: where a vCPU's page tables and hypercall arguments lie.
//!
//! A walk of a guest's page tables looks five guest frames up, each four levels deep, and finds what the call before it
//! found. So each vCPU remembers what its latest lookups led to.
//!
//! Invariant: what is remembered is used only under the p2m's read lock, and only if the domain's flush epoch is still
//! the one it was found in. A change that takes a mapping away or replaces it moves the epoch on under the write lock
//! and before the frame is let go, so until then the p2m says the same and still owns the frame. Holes are not
//! remembered: filling one needs no flush.

use core::cell::Cell;
use core::sync::atomic::Ordering;

use super::{DomainMemory, MemoryFault, Space};
use crate::frame::{Gaddr, Gfn, Mfn};
use crate::frames::{BorrowedFrame, FrameRef};
use crate::machine::Machine;
use crate::p2m::{Entry, PageType};
use crate::page::GuestPage;
use crate::sync::RwLockReadGuard;
use crate::walk::ReadGuestPhys;

/// Frames remembered: those of the tables and data of two or three places that a kernel calls from.
const SLOTS: usize = 16;

/// Where a guest frame of memory leads.
#[derive(Clone, Copy, Debug)]
struct Slot {
    gfn: Gfn,
    mfn: Mfn,
    write: bool,
}

impl Slot {
    /// No guest-physical address is in this frame.
    const EMPTY: Self = Self { gfn: Gfn(u64::MAX), mfn: Mfn(0), write: false };
}

/// One vCPU's latest lookups.
#[derive(Debug)]
pub struct NestedTlb {
    epoch: Cell<u64>,
    slots: [Cell<Slot>; SLOTS],
}

impl Default for NestedTlb {
    fn default() -> Self {
        Self { epoch: Cell::new(0), slots: [const { Cell::new(Slot::EMPTY) }; SLOTS] }
    }
}

impl NestedTlb {
    #[inline]
    fn slot(&self, gfn: Gfn) -> &Cell<Slot> {
        &self.slots[gfn.0 as usize % SLOTS]
    }

    #[cold]
    fn start_over(&self, epoch: u64) {
        self.slots.iter().for_each(|slot| slot.set(Slot::EMPTY));
        self.epoch.set(epoch);
    }
}

/// A domain's memory as one of its vCPUs sees it, its mappings held still: what they lead to cannot go away.
pub struct VcpuView<'a, M: Machine> {
    machine: M,
    p2m: RwLockReadGuard<'a, Space<M>>,
    tlb: &'a NestedTlb,
}

impl<'a, M: Machine> VcpuView<'a, M> {
    /// `tlb` is of a vCPU of the same domain.
    #[inline]
    pub(super) fn new(memory: &'a DomainMemory<M>, tlb: &'a NestedTlb) -> Self {
        let p2m = memory.p2m.read();
        // The lock orders it: the epoch moves on under the write lock only.
        let epoch = memory.tlb_epoch.load(Ordering::Relaxed);
        if tlb.epoch.get() != epoch {
            tlb.start_over(epoch);
        }
        Self { machine: memory.machine, p2m, tlb }
    }

    /// Copies out what does not cross a page.
    ///
    /// # Errors
    /// Not memory.
    #[inline]
    pub fn read(&self, at: Gaddr, into: &mut [u8]) -> Result<(), MemoryFault> {
        self.with_page(at, false, |page| page.read(at.offset(), into))
    }

    /// Copies in what does not cross a page.
    ///
    /// # Errors
    /// Not writable memory.
    #[inline]
    pub fn write(&self, at: Gaddr, from: &[u8]) -> Result<(), MemoryFault> {
        self.with_page(at, true, |page| page.write(at.offset(), from))
    }

    #[inline]
    fn with_page<R>(
        &self,
        at: Gaddr,
        write: bool,
        f: impl FnOnce(&FrameRef<M>) -> R,
    ) -> Result<R, MemoryFault> {
        let slot = self.tlb.slot(at.frame()).get();
        let known = slot.gfn == at.frame() && (slot.write || !write);
        let mfn = if known { slot.mfn } else { self.look_up(at, write)? };
        Ok(f(&BorrowedFrame::new(self.machine, mfn)))
    }

    #[inline(never)]
    fn look_up(&self, at: Gaddr, write: bool) -> Result<Mfn, MemoryFault> {
        match self.p2m.lookup(at.frame()) {
            Some(Entry { kind: PageType::MmioDirect, .. }) | None => Err(MemoryFault::NotMemory(at)),
            Some(entry) if write && !entry.access.write => Err(MemoryFault::ReadOnly(at)),
            Some(Entry { mfn, access, .. }) => {
                self.tlb.slot(at.frame()).set(Slot { gfn: at.frame(), mfn, write: access.write });
                Ok(mfn)
            }
        }
    }
}

impl<M: Machine> ReadGuestPhys for VcpuView<'_, M> {
    fn read_u32(&self, at: Gaddr) -> Option<u32> {
        self.with_page(at, false, |page| page.load32(at.offset() & !3)).ok()
    }

    #[inline]
    fn read_u64(&self, at: Gaddr) -> Option<u64> {
        self.with_page(at, false, |page| page.load64(at.offset() & !7)).ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::frame::PAGE_SIZE;
    use crate::ids::DomId;
    use crate::machine::test::TestMachine;
    use crate::p2m::Access;

    const DOMAIN: DomId = DomId(1);
    const AT: Gfn = Gfn(5);

    fn memory(machine: TestMachine) -> DomainMemory<TestMachine> {
        DomainMemory::new(machine, DOMAIN, 100).unwrap()
    }

    fn map(memory: &DomainMemory<TestMachine>, machine: TestMachine, gfn: Gfn, access: Access, fill: u8) {
        let frame = FrameRef::adopt(machine, FrameRef::alloc_ram_run(machine, DOMAIN, 0, 100).unwrap());
        frame.write(0, &[fill; PAGE_SIZE]);
        memory.map(gfn, frame, PageType::Ram, access, || ()).map_err(|(error, _)| error).unwrap();
    }

    fn read(memory: &DomainMemory<TestMachine>, tlb: &NestedTlb, gfn: Gfn) -> Option<u8> {
        let mut byte = [0];
        memory.vcpu_view(tlb).read(gfn.addr(), &mut byte).ok().map(|()| byte[0])
    }

    #[test]
    fn each_change_of_a_mapping_is_seen() {
        let machine = TestMachine::new(64);
        let (memory, tlb) = (memory(machine), NestedTlb::default());
        assert_eq!(read(&memory, &tlb, AT), None);
        map(&memory, machine, AT, Access::ALL, 1);
        assert_eq!(read(&memory, &tlb, AT), Some(1));
        map(&memory, machine, AT, Access::ALL, 2);
        assert_eq!(read(&memory, &tlb, AT), Some(2));
        memory.unmap(AT, |_| true, || ()).unwrap();
        assert_eq!(read(&memory, &tlb, AT), None);
    }

    #[test]
    fn frames_with_the_same_slot_are_kept_apart() {
        let machine = TestMachine::new(64);
        let (memory, tlb) = (memory(machine), NestedTlb::default());
        let other = Gfn(AT.0 + SLOTS as u64);
        map(&memory, machine, AT, Access::ALL, 1);
        map(&memory, machine, other, Access::ALL, 2);
        for _ in 0..2 {
            assert_eq!(read(&memory, &tlb, AT), Some(1));
            assert_eq!(read(&memory, &tlb, other), Some(2));
        }
    }

    #[test]
    fn what_was_read_may_still_not_be_written() {
        let machine = TestMachine::new(64);
        let (memory, tlb) = (memory(machine), NestedTlb::default());
        map(&memory, machine, AT, Access::READ, 1);
        assert_eq!(read(&memory, &tlb, AT), Some(1));
        let refused = memory.vcpu_view(&tlb).write(AT.addr(), &[2]);
        assert_eq!(refused, Err(MemoryFault::ReadOnly(AT.addr())));
        map(&memory, machine, AT, Access::READ_WRITE, 3);
        memory.vcpu_view(&tlb).write(AT.addr(), &[4]).unwrap();
        assert_eq!(read(&memory, &tlb, AT), Some(4));
        // The same frame, now read-only.
        let frame = memory.own_page(AT).unwrap();
        memory.map(AT, frame, PageType::Ram, Access::READ, || ()).map_err(|(error, _)| error).unwrap();
        assert_eq!(memory.vcpu_view(&tlb).write(AT.addr(), &[5]), Err(MemoryFault::ReadOnly(AT.addr())));
    }
}

//! Grants, from the sides of both guests.

mod life;
mod rules;
mod storm;
mod table;
mod version2;

use std::vec::Vec;

use hypercall_abi::abi::{Abi, Word, X64};
use hypercall_abi::grant_table as abi;
use hypercall_abi::grant_table::{CopyFlags, EntryFlags, MapFlags};
use hypercall_abi::memory as mem;
use hypercall_abi::plain::Plain;
use hypercall_abi::xen as nr;

use super::rig::{Caller, Rig};
use crate::frames::FrameRef;
use crate::gnttab::{Content, Version};
use crate::machine::test::TestMachine;
use crate::page::GuestPage;

/// Where an entry of a domain's table is.
fn entry<R>(caller: &Caller, gref: u32, f: impl FnOnce(&FrameRef<TestMachine>, usize) -> R) -> R {
    let grants = caller.domain().grants.lock();
    assert_eq!(grants.version(), Version::One);
    let page = grants.frame(Content::Entries, gref / 512).expect("a page of the table");
    f(page, gref as usize % 512 * 8)
}

/// Writes an entry of a domain's table, as its guest does.
pub fn grant_with(domain: &Caller, gref: u32, to: u16, gfn: u64, flags: EntryFlags) {
    let word = u64::from(flags.bits()) | u64::from(to) << 16 | gfn << 32;
    entry(domain, gref, |page, at| page.store64(at, word));
}

/// Grants a page, to read and write.
pub fn grant(domain: &Caller, gref: u32, to: u16, gfn: u64) {
    grant_with(domain, gref, to, gfn, EntryFlags::PERMIT_ACCESS);
}

/// The flags of an entry as its guest sees them.
pub fn flags(domain: &Caller, gref: u32) -> EntryFlags {
    EntryFlags::from_bits_retain(entry(domain, gref, |page, at| page.load32(at)) as u16)
}

/// Whether an entry shows to be in use.
pub fn in_use(domain: &Caller, gref: u32) -> bool {
    flags(domain, gref).intersects(EntryFlags::READING | EntryFlags::WRITING)
}

/// A guest with 2 MiB from guest frame 0 on.
pub fn guest(rig: &Rig) -> Caller {
    rig.guest(1)
}

/// A caller's number.
pub fn id(caller: &Caller) -> u16 {
    caller.domain().id.0
}

/// Destroys a caller's domain.
pub fn destroy(rig: &Rig, caller: Caller) {
    let id = id(&caller);
    drop(caller);
    rig.destroy(id);
}

/// Writes a value at the start of a guest frame.
pub fn poke<T: Plain>(caller: &Caller, gfn: u64, value: &T) {
    caller.write(gfn << 12, value.as_bytes());
}

/// Reads the value there.
pub fn peek<T: Plain>(caller: &Caller, gfn: u64) -> T {
    caller.get(gfn << 12)
}

/// Whether something was logged lately that says so.
pub fn logged(rig: &Rig, what: &str) -> bool {
    rig.machine.take_log().iter().any(|(_, line)| line.contains(what))
}

impl Rig {
    /// A `grant_table_op` on an array; gives the call's result and what became of the array.
    pub fn grant_ops<T: Plain>(&self, by: &Caller, op: u32, array: &[T]) -> (i64, Vec<T>) {
        let at = by.put_all(array);
        let args = [op.into(), at, array.len() as u64];
        let result = self.call(by, nr::HYPERCALL_GRANT_TABLE_OP, &args);
        (result, by.get_all(at, array.len()))
    }

    /// One with one element. It has to succeed as a call.
    pub fn grant_op<T: Plain>(&self, by: &Caller, op: u32, arg: T) -> T {
        let (result, array) = self.grant_ops(by, op, &[arg]);
        assert_eq!(result, 0, "{:?}", self.machine.take_log());
        array[0]
    }

    /// Maps a grant, with these flags alone.
    pub fn map_with(&self, by: &Caller, from: u16, gref: u32, gfn: u64, flags: MapFlags) -> abi::MapGrantRef {
        let op = abi::MapGrantRef { host_addr: gfn << 12, flags, gref, dom: from, ..Plain::zeroed() };
        self.grant_op(by, abi::OP_MAP_GRANT_REF, op)
    }

    /// Maps a grant to read and write; gives the handle or the status.
    pub fn map(&self, by: &Caller, from: u16, gref: u32, gfn: u64) -> Result<u32, i16> {
        let op = self.map_with(by, from, gref, gfn, MapFlags::HOST_MAP);
        if op.status == abi::STATUS_OKAY { Ok(op.handle) } else { Err(op.status) }
    }

    /// Unmaps; gives the status.
    pub fn unmap(&self, by: &Caller, handle: u32, gfn: u64) -> i16 {
        let op = abi::UnmapGrantRef { host_addr: gfn << 12, handle, ..Plain::zeroed() };
        self.grant_op(by, abi::OP_UNMAP_GRANT_REF, op).status
    }

    /// Puts a page of the caller's grant table at a guest frame; gives the call's result.
    pub fn place_table(&self, by: &Caller, index: u32, gfn: u64) -> i64 {
        let mut add = mem::AddToPhysmap::<X64>::zeroed();
        (add.domid, add.space) = (nr::DOMID_SELF, mem::MAPSPACE_GRANT_TABLE);
        (add.idx, add.gpfn) = (index.into(), gfn);
        self.op(by, nr::HYPERCALL_MEMORY_OP, mem::ADD_TO_PHYSMAP, &mut add)
    }

    /// Withdraws what is at a guest frame; gives the call's result.
    pub fn remove(&self, by: &Caller, gfn: u64) -> i64 {
        let mut remove = mem::RemoveFromPhysmap::<X64>::zeroed();
        (remove.domid, remove.gpfn) = (nr::DOMID_SELF, gfn);
        self.op(by, nr::HYPERCALL_MEMORY_OP, mem::REMOVE_FROM_PHYSMAP, &mut remove)
    }
}

/// One end of a copy.
#[derive(Clone, Copy)]
pub enum End {
    /// An own guest frame.
    Own(u64),
    /// A grant of that domain.
    Of(u16, u32),
}

/// A copy from page offset to page offset.
pub fn copy<A: Abi>(from: (End, u16), to: (End, u16), len: u16) -> abi::Copy<A> {
    let mut op = abi::Copy::<A>::zeroed();
    op.len = len;
    let mut flags = CopyFlags::empty();
    for ((end, offset), ptr, flag) in
        [(from, &mut op.source, CopyFlags::SOURCE_GREF), (to, &mut op.dest, CopyFlags::DEST_GREF)]
    {
        let (domid, u) = match end {
            End::Own(gfn) => (nr::DOMID_SELF, gfn),
            End::Of(dom, gref) => {
                flags |= flag;
                (dom, gref.into())
            }
        };
        (ptr.domid, ptr.offset, ptr.u) = (domid, offset, A::Ulong::truncated(u));
    }
    op.flags = flags;
    op
}

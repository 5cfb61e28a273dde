//! A reference to a frame, with an owner.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;

use super::{FrameTable, OutOfFrames};
use crate::frame::{Mfn, PAGE_SIZE};
use crate::ids::DomId;
use crate::page::GuestPage;

/// The machine's memory: the frame table, and the bytes behind the frames.
///
/// A `Copy` handle, zero-sized in the kernel. Access to bytes is safe because it takes the [`FrameRef`] that
/// proves that the frame is a domain's and stays so.
pub trait Frames: Copy + Send + Sync + 'static {
    /// A word-and-bytes view of one frame.
    type Page<'a>: GuestPage;

    /// The state of every frame.
    fn table(self) -> &'static FrameTable;

    /// The view of a frame.
    fn page(self, frame: &FrameRef<Self>) -> Self::Page<'_>;

    /// Fills a frame with zeros.
    fn scrub(self, frame: &FrameRef<Self>) {
        self.page(frame).write(0, &[0; PAGE_SIZE]);
    }

    /// Copies bytes from frame to frame. Ranges past a page's end copy nothing.
    fn copy(self, from: (&FrameRef<Self>, usize), to: (&FrameRef<Self>, usize), len: usize) {
        let mut bytes = [0; PAGE_SIZE];
        if let Some(bytes) = bytes.get_mut(..len) {
            self.page(from.0).read(from.1, bytes);
            self.page(to.0).write(to.1, bytes);
        }
    }
}

/// One counted reference to a domain's frame. Dropping the last one frees the frame.
pub struct FrameRef<M: Frames> {
    machine: M,
    mfn: Mfn,
}

impl<M: Frames> FrameRef<M> {
    /// Another reference to a frame, unless it has none to share (not a domain's, being freed).
    pub fn get(machine: M, mfn: Mfn) -> Option<Self> {
        // Not `then_some`: that would make a reference, and drop it, also where there is none.
        machine.table().get(mfn).then(|| Self { machine, mfn })
    }

    /// `1 << order` zeroed RAM frames of `domain`. Every one has one reference, which the caller now owns: it
    /// takes each back with [`FrameRef::adopt`], typically by way of a p2m entry.
    pub fn alloc_ram_run(machine: M, domain: DomId, order: u32, max: u32) -> Result<Mfn, OutOfFrames> {
        let mfn = machine.table().alloc_ram(domain, order, max)?;
        Self::scrub_run(machine, mfn, order);
        Ok(mfn)
    }

    /// As [`alloc_ram_run`](Self::alloc_ram_run), but those very frames.
    pub fn claim_ram_run(
        machine: M,
        domain: DomId,
        mfn: Mfn,
        order: u32,
        max: u32,
    ) -> Result<(), OutOfFrames> {
        machine.table().claim_ram(domain, mfn, order, max)?;
        Self::scrub_run(machine, mfn, order);
        Ok(())
    }

    /// A fresh, zeroed frame of Tenon's for `domain` to map.
    pub fn alloc_shared(machine: M, domain: DomId) -> Result<Self, OutOfFrames> {
        let mfn = machine.table().alloc_shared(domain)?;
        Ok(Self::fresh(machine, mfn))
    }

    /// Takes over a reference that somebody gave up with [`into_mfn`](Self::into_mfn).
    ///
    /// Only for such a reference: the count has no way to notice a second adoption until it runs out.
    #[must_use]
    pub fn adopt(machine: M, mfn: Mfn) -> Self {
        Self { machine, mfn }
    }

    /// Gives up the handle but keeps the reference counted; whoever stores the number (a p2m entry) owns it now.
    #[must_use]
    pub fn into_mfn(self) -> Mfn {
        ManuallyDrop::new(self).mfn
    }

    /// The frame's number.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }

    fn fresh(machine: M, mfn: Mfn) -> Self {
        let frame = Self { machine, mfn };
        machine.scrub(&frame);
        frame
    }

    fn scrub_run(machine: M, mfn: Mfn, order: u32) {
        for i in 0..1 << order {
            machine.scrub(&BorrowedFrame::new(machine, Mfn(mfn.0 + i)));
        }
    }
}

impl<M: Frames> Clone for FrameRef<M> {
    fn clone(&self) -> Self {
        let got = self.machine.table().get(self.mfn);
        debug_assert!(got, "a live reference can always be shared");
        Self { machine: self.machine, mfn: self.mfn }
    }
}

impl<M: Frames> Drop for FrameRef<M> {
    fn drop(&mut self) {
        self.machine.table().put(self.mfn);
    }
}

impl<M: Frames> fmt::Debug for FrameRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameRef({:#x})", self.mfn.0)
    }
}

/// A frame kept alive by a reference that is owned elsewhere (a p2m entry, while the p2m is locked).
pub struct BorrowedFrame<M: Frames>(ManuallyDrop<FrameRef<M>>);

impl<M: Frames> BorrowedFrame<M> {
    /// Borrows the reference that the caller knows to exist for as long as it uses the result.
    pub(crate) fn new(machine: M, mfn: Mfn) -> Self {
        Self(ManuallyDrop::new(FrameRef { machine, mfn }))
    }
}

impl<M: Frames> Deref for BorrowedFrame<M> {
    type Target = FrameRef<M>;

    fn deref(&self) -> &FrameRef<M> {
        &self.0
    }
}

/// Methods of [`GuestPage`] as the machine's view of the frame has them.
macro_rules! forward {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(fn $name(&self, $($arg: $type),*) $(-> $result)? {
            self.machine.page(self).$name($($arg),*)
        })*
    };
}

impl<M: Frames> GuestPage for FrameRef<M> {
    forward! {
        fn load32(offset: usize) -> u32;
        fn store32(offset: usize, value: u32);
        fn compare_exchange32(offset: usize, current: u32, new: u32) -> Result<u32, u32>;
        fn fetch_or32(offset: usize, bits: u32) -> u32;
        fn fetch_and32(offset: usize, bits: u32) -> u32;
        fn load64(offset: usize) -> u64;
        fn store64(offset: usize, value: u64);
        fn read(offset: usize, into: &mut [u8]);
        fn write(offset: usize, from: &[u8]);
    }
}

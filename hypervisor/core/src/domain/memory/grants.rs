//! Grants and the p2m: which pages may be granted, and how granted pages leave the address space.

use super::DomainMemory;
use crate::domain::Ending;
use crate::frame::Gfn;
use crate::frames::{FrameKind, FrameRef};
use crate::machine::Machine;
use crate::p2m::{Entry, PageType};

impl<M: Machine> DomainMemory<M> {
    /// The page behind a guest frame that the domain may grant: RAM that it owns. Its shared pages are Tenon's, and a
    /// use of one would not keep the domain's number from being given to another domain.
    pub(crate) fn grantable_page(&self, gfn: Gfn) -> Option<FrameRef<M>> {
        let p2m = self.p2m.read();
        let entry = p2m.lookup(gfn)?;
        let own = self.machine.table().kind(entry.mfn) == Some(FrameKind::Ram(self.domain));
        let grantable = own && entry.kind == PageType::Ram && entry.access.write;
        if grantable { FrameRef::get(self.machine, entry.mfn) } else { None }
    }

    /// Takes ending mappings out of the p2m, with one flush for all. Where the guest has mapped something else over one
    /// there is nothing to do for it.
    pub(crate) fn unmap_grants(&self, ending: &mut Ending<M>, flush: impl FnOnce()) {
        let mut places = ending.iter_mut().filter(|place| place.is_some());
        self.change_batch(flush, |p2m| {
            places.find_map(|place| {
                let mapping = place.as_ref()?;
                let mfn = mapping.pin.frame().mfn();
                let is_it = |e: Entry| e.mfn == mfn && e.kind == PageType::GrantMapped;
                if !p2m.lookup(mapping.at).is_some_and(is_it) {
                    return None;
                }
                let change = p2m.unmap(mapping.at);
                if let Err(error) = &change {
                    // The guest still reaches the page, so its grant must stay in use.
                    debug_assert!(false, "a page that is mapped by itself: {error}");
                    *place = None;
                }
                change.ok()
            })
        });
    }
}

//! Claims: free frames that are set aside for a domain that is being built (`XENMEM_claim_pages`).
//!
//! A claim is a number, not particular frames. Whatever else asks for a domain's RAM finds so many frames fewer; Tenon's
//! own needs are few and come first. What the domain gets is taken off its claim.

use alloc::vec::Vec;

use crate::fallible::{self, NoMemory};
use crate::ids::DomId;

/// Who has claims. Few domains are being built at a time.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<(DomId, u64)>);

impl Claims {
    /// Frames that are set aside for all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, frames)| frames).sum()
    }

    /// Frames that are set aside for a domain.
    pub fn of(&self, domain: DomId) -> u64 {
        self.0.iter().find(|claim| claim.0 == domain).map_or(0, |claim| claim.1)
    }

    /// Replaces a domain's claim; 0 ends it.
    pub fn set(&mut self, domain: DomId, frames: u64) -> Result<(), NoMemory> {
        self.0.retain(|claim| claim.0 != domain);
        if frames == 0 { Ok(()) } else { fallible::push(&mut self.0, (domain, frames)) }
    }

    /// The domain has got so many.
    pub fn spend(&mut self, domain: DomId, frames: u64) {
        if let Some(claim) = self.0.iter_mut().find(|claim| claim.0 == domain) {
            claim.1 = claim.1.saturating_sub(frames);
        }
        self.0.retain(|claim| claim.1 > 0);
    }
}

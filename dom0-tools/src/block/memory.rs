//! The memory that a guest's requests name by grants.
//!
//! It is copied by the hypervisor, so that nothing of a guest is mapped here. A guest that grants the same pages again
//! and again and says so ("persistent grants") gets its pages mapped as it first uses them, up to a number; it keeps
//! such a grant as long as the page is mapped.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::xen::error::XenError;
use crate::xen::gntdev::{GrantDevice, GrantedPage};
use crate::xen::grant_copy::{Copier, Part};

/// Pages of one ring that are kept mapped: those of a page's requests with their own segments.
const KEPT: usize = 352;

/// Memory that a guest has granted.
pub trait GuestMemory {
    /// Fills `to` from `parts`.
    ///
    /// # Errors
    /// A grant was refused.
    fn read(&self, parts: &[Part], to: &mut [u8]) -> Result<(), XenError>;
    /// Writes `from` to `parts`.
    ///
    /// # Errors
    /// A grant was refused.
    fn write(&self, parts: &[Part], from: &[u8]) -> Result<(), XenError>;
}

/// A domain's granted memory.
#[derive(Debug)]
pub struct Granted {
    domain: u16,
    copier: Copier,
    kept: Option<Kept>,
}

/// Pages that stay mapped.
#[derive(Debug)]
struct Kept {
    device: GrantDevice,
    pages: RefCell<HashMap<u32, GrantedPage>>,
}

impl Granted {
    /// The memory of `domain`; its pages are kept if it grants them persistently.
    ///
    /// # Errors
    /// If the kernel has no grant device.
    pub fn open(domain: u16, persistent: bool) -> Result<Self, XenError> {
        let kept = persistent.then(GrantDevice::open).transpose()?;
        let kept = kept.map(|device| Kept { device, pages: RefCell::default() });
        Ok(Self { domain, copier: Copier::open(domain)?, kept })
    }

    /// Does `with_page` with the kept page of `part`. `None` if it is not kept.
    fn on_page(&self, part: &Part, with_page: impl FnOnce(&GrantedPage)) -> Option<()> {
        let Kept { device, pages } = self.kept.as_ref()?;
        let mut pages = pages.borrow_mut();
        if !pages.contains_key(&part.reference) && pages.len() < KEPT {
            // Where it cannot be mapped, copying says why, or does it.
            pages.insert(part.reference, device.map(self.domain, part.reference).ok()?);
        }
        pages.get(&part.reference).map(with_page)
    }
}

impl GuestMemory for Granted {
    fn read(&self, parts: &[Part], to: &mut [u8]) -> Result<(), XenError> {
        if self.kept.is_none() {
            return self.copier.read(parts, to);
        }
        let mut rest = to;
        for part in parts {
            let (bytes, after) = rest.split_at_mut(usize::from(part.len).min(rest.len()));
            if self.on_page(part, |page| page.mapping().read(part.offset.into(), bytes)).is_none() {
                self.copier.read(&[*part], bytes)?;
            }
            rest = after;
        }
        Ok(())
    }

    fn write(&self, parts: &[Part], from: &[u8]) -> Result<(), XenError> {
        if self.kept.is_none() {
            return self.copier.write(parts, from);
        }
        let mut rest = from;
        for part in parts {
            let (bytes, after) = rest.split_at(usize::from(part.len).min(rest.len()));
            if self.on_page(part, |page| page.mapping().write(part.offset.into(), bytes)).is_none() {
                self.copier.write(&[*part], bytes)?;
            }
            rest = after;
        }
        Ok(())
    }
}

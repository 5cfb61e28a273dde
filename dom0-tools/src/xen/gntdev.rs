//! `/dev/xen/gntdev`: pages that other domains have granted (`linux/xen/gntdev.h`).
#![allow(unsafe_code, reason = "ioctl requests, whose argument types the kernel's header fixes")]

use std::fs::File;

use super::device::{Request, open};
use super::error::XenError;
use super::mapping::Mapping;

/// `struct ioctl_gntdev_map_grant_ref` for one grant.
#[repr(C)]
#[derive(Default)]
struct MapGrantRef {
    count: u32,
    pad: u32,
    index: u64,
    domid: u32,
    reference: u32,
}

type Map<'a> = Request<'a, MapGrantRef, b'G', 0>;

/// A granted page, mapped until this is dropped.
///
/// The device is opened for this one mapping: closing it, after the memory is unmapped, makes the kernel forget the
/// grant. The order of the fields is that order.
#[derive(Debug)]
pub struct GrantedPage {
    mapping: Mapping,
    _device: File,
}

impl GrantedPage {
    /// Maps the page that `domain` has granted to this one by `reference`, readable and writable.
    ///
    /// # Errors
    /// If the device is not there, or the hypervisor refuses the grant.
    pub fn map(domain: u16, reference: u32) -> Result<Self, XenError> {
        const CALL: &str = "map a granted page";
        let device = open("/dev/xen/gntdev", "xen-gntdev").map_err(|e| XenError::new(CALL, e))?;
        let mut argument =
            MapGrantRef { count: 1, domid: domain.into(), reference, ..MapGrantRef::default() };
        // SAFETY: number 0 takes this structure with `count` grants at its end.
        unsafe { Map::new(&mut argument).send(&device) }.map_err(|e| XenError::new(CALL, e))?;
        let mapping = Mapping::of_device(&device, 1, argument.index, CALL)?;
        Ok(Self { mapping, _device: device })
    }

    /// The page.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_headers() {
        assert_eq!(Map::OPCODE, 0x0018_4700);
    }
}

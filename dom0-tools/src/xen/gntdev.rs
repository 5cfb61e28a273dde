//! `/dev/xen/gntdev`: pages that other domains have granted (`linux/xen/gntdev.h`).
#![allow(unsafe_code, reason = "ioctl requests, whose argument types the kernel's header fixes")]

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::device::{Request, open};
use super::error::XenError;
use super::mapping::{Mapping, SharedPage};

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

/// `struct ioctl_gntdev_unmap_grant_ref`.
#[repr(C)]
struct UnmapGrantRef {
    index: u64,
    count: u32,
    pad: u32,
}

type Map<'a> = Request<'a, MapGrantRef, b'G', 0>;
type Unmap<'a> = Request<'a, UnmapGrantRef, b'G', 1>;

/// The open device. Several pages may share one.
#[derive(Clone, Debug)]
pub struct GrantDevice(Arc<File>);

impl GrantDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// If it is not there.
    pub fn open() -> Result<Self, XenError> {
        let device = open("/dev/xen/gntdev", "xen-gntdev");
        device.map(|device| Self(Arc::new(device))).map_err(|e| XenError::new("open the grant device", e))
    }

    /// Maps the page that `domain` has granted to this one by `reference`, readable and writable.
    ///
    /// # Errors
    /// If the hypervisor refuses the grant.
    pub fn map(&self, domain: u16, reference: u32) -> Result<GrantedPage, XenError> {
        const CALL: &str = "map a granted page";
        let mut argument =
            MapGrantRef { count: 1, domid: domain.into(), reference, ..MapGrantRef::default() };
        // SAFETY: number 0 takes this structure with `count` grants at its end.
        unsafe { Map::new(&mut argument).send(&self.0) }.map_err(|e| XenError::new(CALL, e))?;
        let grant = Grant { device: self.clone(), index: argument.index };
        let mapping = Mapping::of_device(&self.0, 1, argument.index, CALL)?;
        Ok(GrantedPage { mapping, _grant: grant })
    }
}

/// A grant that the kernel knows, until this is dropped.
#[derive(Debug)]
struct Grant {
    device: GrantDevice,
    index: u64,
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut argument = UnmapGrantRef { index: self.index, count: 1, pad: 0 };
        // SAFETY: number 1 takes this structure.
        let forgotten = unsafe { Unmap::new(&mut argument).send(&self.device.0) };
        debug_assert!(forgotten.is_ok());
    }
}

/// A granted page, mapped until this is dropped.
///
/// The kernel forgets the grant after the memory is unmapped. The order of the fields is that order.
#[derive(Debug)]
pub struct GrantedPage {
    mapping: Mapping,
    _grant: Grant,
}

impl GrantedPage {
    /// Maps the page that `domain` has granted to this one by `reference`, readable and writable.
    ///
    /// # Errors
    /// If the device is not there, or the hypervisor refuses the grant.
    pub fn map(domain: u16, reference: u32) -> Result<Self, XenError> {
        GrantDevice::open()?.map(domain, reference)
    }

    /// The page.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

impl SharedPage for GrantedPage {
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.mapping.word(offset)
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.mapping.read(offset, bytes);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.mapping.write(offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_headers() {
        assert_eq!(Map::OPCODE, 0x0018_4700);
        assert_eq!(Unmap::OPCODE, 0x0010_4701);
    }
}

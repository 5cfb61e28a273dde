//! Copies between this process and pages that another domain has granted, made by the hypervisor
//! (`IOCTL_GNTDEV_GRANT_COPY`, `linux/xen/gntdev.h`). Nothing is mapped, so nothing is left behind when we die.
#![allow(unsafe_code, reason = "ioctl requests, whose argument types the kernel's header fixes")]

use std::fs::File;
use std::io;

use hypercall_abi::grant_table::CopyFlags;

use super::device::{Request, open};
use super::error::XenError;

/// A part of a page of another domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The page's grant.
    pub reference: u32,
    /// Where the part begins in the page.
    pub offset: u16,
    /// Its bytes; it ends where the page ends at the latest.
    pub len: u16,
}

/// `struct gntdev_grant_copy_segment`; a side is an address of ours, or grant, offset and domain.
#[repr(C)]
#[derive(Clone, Copy)]
struct Segment {
    source: u64,
    dest: u64,
    len: u16,
    flags: u16,
    status: i16,
    pad: u16,
}

/// `struct ioctl_gntdev_grant_copy`.
#[repr(C)]
struct Copies {
    count: u32,
    segments: *mut Segment,
}

type Copy<'a> = Request<'a, Copies, b'G', 8>;

/// The way in which data go.
enum Way {
    ToGuest,
    FromGuest,
}

/// The open device.
#[derive(Debug)]
pub struct Copier {
    device: File,
    domain: u16,
}

impl Copier {
    /// Opens the device, to copy from and to pages of `domain`.
    ///
    /// # Errors
    /// If the device is not there.
    pub fn open(domain: u16) -> Result<Self, XenError> {
        let device = open("/dev/xen/gntdev", "xen-gntdev");
        Ok(Self { device: device.map_err(|e| XenError::new("open the grant device", e))?, domain })
    }

    /// Fills `to` from `parts`, one after the other.
    ///
    /// # Errors
    /// The hypervisor refused a grant, or `parts` do not have the length of `to`.
    pub fn read(&self, parts: &[Part], to: &mut [u8]) -> Result<(), XenError> {
        // The address is written to, and nothing else looks at the bytes meanwhile.
        self.copy(Way::FromGuest, parts, to.as_mut_ptr().expose_provenance(), to.len())
    }

    /// Writes `from` to `parts`, one after the other.
    ///
    /// # Errors
    /// The hypervisor refused a grant, or `parts` do not have the length of `from`.
    pub fn write(&self, parts: &[Part], from: &[u8]) -> Result<(), XenError> {
        self.copy(Way::ToGuest, parts, from.as_ptr().expose_provenance(), from.len())
    }

    fn copy(&self, way: Way, parts: &[Part], ours: usize, len: usize) -> Result<(), XenError> {
        let failed = |cause| XenError::new("copy granted pages", cause);
        let mut at = ours as u64;
        let mut segments = Vec::with_capacity(parts.len());
        for part in parts {
            // As the union's members lie: grant, offset in the page, domain.
            let theirs =
                u64::from(part.reference) | u64::from(part.offset) << 32 | u64::from(self.domain) << 48;
            let (source, dest, flags) = match way {
                Way::FromGuest => (theirs, at, CopyFlags::SOURCE_GREF),
                Way::ToGuest => (at, theirs, CopyFlags::DEST_GREF),
            };
            segments.push(Segment { source, dest, len: part.len, flags: flags.bits(), status: 0, pad: 0 });
            at += u64::from(part.len);
        }
        if at != (ours + len) as u64 {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "parts of another length")));
        }
        let mut copies = Copies { count: segments.len() as u32, segments: segments.as_mut_ptr() };
        // SAFETY: number 8 takes this structure; `segments` has `count` items, whose addresses are together
        // exactly the `len` bytes that a caller borrowed for as long as this takes.
        unsafe { Copy::new(&mut copies).send(&self.device) }.map_err(failed)?;
        match segments.iter().find(|segment| segment.status != 0) {
            None => Ok(()),
            Some(segment) => Err(failed(io::Error::other(format!("grant status {}", segment.status)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_headers() {
        assert_eq!(Copy::OPCODE, 0x0010_4708);
        assert_eq!(size_of::<Segment>(), 24);
    }
}

//! Where the kernel of this domain talks to xenstore: `/dev/xen/xenbus_backend` (`linux/xen/xenbus_dev.h`), or the
//! older `xsd_kva` and `xsd_port` of xenfs.
#![allow(unsafe_code, reason = "an ioctl request, whose argument type the kernel's header fixes")]

use std::fs::{self, File};
use std::io;

use super::device::{Request, open};
use super::error::XenError;
use super::mapping::Mapping;

const DEVICE: &str = "/dev/xen/xenbus_backend";
const XENFS: &str = "/proc/xen";

/// The request has no argument.
type Port<'a> = Request<'a, (), b'B', 0>;

/// The kernel's own ring, mapped.
#[derive(Debug)]
pub struct KernelRing {
    /// The ring page.
    pub page: Mapping,
    /// The kernel's end of the event channel, to be bound to.
    pub port: u32,
}

impl KernelRing {
    /// Maps the ring.
    ///
    /// # Errors
    /// If the kernel offers it in neither way.
    pub fn open() -> Result<Self, XenError> {
        const CALL: &str = "map the kernel's xenstore ring";
        match open(DEVICE, "CONFIG_XEN_BACKEND") {
            Ok(device) => {
                // SAFETY: number 0 takes nothing.
                let port = unsafe { Port::new(&mut ()).send(&device) }.map_err(|e| XenError::new(CALL, e))?;
                Ok(Self { page: Mapping::of_device(&device, 1, 0, CALL)?, port })
            }
            Err(refused) => Self::open_xenfs().map_err(|error| {
                XenError::new(CALL, io::Error::other(format!("{refused}; {XENFS}: {error}")))
            }),
        }
    }

    fn open_xenfs() -> io::Result<Self> {
        let port = fs::read_to_string(format!("{XENFS}/xsd_port"))?;
        let port = port.trim().parse().map_err(io::Error::other)?;
        let page = File::options().read(true).write(true).open(format!("{XENFS}/xsd_kva"))?;
        let page = Mapping::of_device(&page, 1, 0, "map xsd_kva").map_err(|e| e.cause)?;
        Ok(Self { page, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_headers() {
        assert_eq!(Port::OPCODE, 0x0000_4200);
    }
}

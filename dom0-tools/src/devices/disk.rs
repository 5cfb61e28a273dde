//! Disks.

use std::path::Path;

use super::backing::Backing;
use super::driver::BLKBACK;
use super::error::DeviceError;
use super::sharing;
use super::xenbus::{Address, Kind};
use super::{Device, Nodes};
use crate::config::{Backend, Disk, Format};
use crate::xen::hypercall::Xen;
use crate::xs_client::Client;

impl Device for Disk {
    type Held = Backing;

    fn address(&self, domain: u16) -> Address {
        let kind = match self.backend {
            Backend::Kernel => Kind::KernelDisk,
            Backend::Userland => Kind::UserlandDisk,
        };
        Address { domain, kind, id: self.vdev.number() }
    }

    fn label(&self) -> String {
        format!("disk {}", self.vdev)
    }

    fn open(&self, xen: &Xen, domain: u16) -> Result<(Backing, Nodes), DeviceError> {
        BLKBACK.ensure()?;
        sharing::check(xen, domain, &self.target, self.read_only)?;
        let backing = Backing::open(&self.target, self.read_only)?;
        let kind = if self.cdrom { "cdrom" } else { "disk" };
        let front = vec![
            ("virtual-device", self.vdev.number().to_string()),
            ("device-type", kind.into()),
            ("trusted", u8::from(self.trusted).to_string()),
        ];
        let back = vec![
            ("params", backing.path.display().to_string()),
            ("physical-device", backing.number()?),
            ("type", "phy".into()),
            ("format", self.format.name().into()),
            ("dev", self.vdev.to_string()),
            ("mode", if self.read_only { "r" } else { "w" }.into()),
            ("device-type", kind.into()),
            ("removable", u8::from(self.cdrom).to_string()),
            ("bootable", "1".into()),
            ("discard-enable", u8::from(self.discard).to_string()),
            ("hotplug-status", "connected".into()),
        ];
        Ok((backing, Nodes { front, back }))
    }

    fn settle(&self, _: &mut Client, address: Address, _: &Backing) -> Result<bool, DeviceError> {
        // xen-blkback shows this once it has opened the device.
        Ok(Path::new(&format!("{}/physical_device", address.sysfs())).exists())
    }
}

impl Format {
    /// The word for it, here and in xl.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

//! Disks.

use std::path::{Path, PathBuf};

use super::backing::{Backing, resolve};
use super::driver::BLKBACK;
use super::error::DeviceError;
use super::sharing;
use super::xenbus::{Address, Kind, State};
use super::{Device, Nodes};
use crate::block;
use crate::config::{Backend, Disk, Format};
use crate::xen::hypercall::Xen;
use crate::xs_client::{Client, Tx};

/// What is held of a disk until it is served: the block device, if domain 0's kernel is to serve it.
#[derive(Debug)]
pub struct Held(Option<Backing>);

impl Device for Disk {
    type Held = Held;

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

    fn open(&self, xen: &Xen, domain: u16) -> Result<(Held, Nodes), DeviceError> {
        let kind = if self.cdrom { "cdrom" } else { "disk" };
        let front = vec![
            ("virtual-device", self.vdev.number().to_string()),
            ("device-type", kind.into()),
            ("trusted", u8::from(self.trusted).to_string()),
        ];
        let mut back = vec![
            ("format", self.format.name().into()),
            ("dev", self.vdev.to_string()),
            ("mode", if self.read_only { "r" } else { "w" }.into()),
            ("device-type", kind.into()),
            ("removable", u8::from(self.cdrom).to_string()),
            ("bootable", "1".into()),
            ("discard-enable", u8::from(self.discard).to_string()),
            ("hotplug-status", "connected".into()),
        ];
        let held = match self.backend {
            Backend::Kernel => {
                BLKBACK.ensure()?;
                sharing::check(xen, domain, &self.target, self.read_only)?;
                let backing = Backing::open(&self.target, self.read_only)?;
                back.extend([
                    ("params", backing.path.display().to_string()),
                    ("physical-device", backing.number()?),
                    ("type", "phy".into()),
                ]);
                Some(backing)
            }
            Backend::Userland => {
                sharing::check(xen, domain, &self.target, self.read_only)?;
                let path = checked(self)?;
                back.extend([("params", path.display().to_string()), ("type", "qdisk".into())]);
                None
            }
        };
        Ok((Held(held), Nodes { front, back }))
    }

    fn settle(&self, client: &mut Client, address: Address, held: &Held) -> Result<bool, DeviceError> {
        match held {
            // xen-blkback shows this once it has opened the device.
            Held(Some(_)) => Ok(Path::new(&format!("{}/physical_device", address.sysfs())).exists()),
            Held(None) => Ok(Address::state(client, Tx::NONE, &address.back())? >= State::InitWait),
        }
    }
}

/// The path of an image that is in order, for a daemon that is there to serve it.
fn checked(disk: &Disk) -> Result<PathBuf, DeviceError> {
    block::daemon::runs()?.then_some(()).ok_or(DeviceError::NoDaemon)?;
    let path = resolve(&disk.target)?;
    match block::image::open(&path, disk.format, disk.read_only) {
        Ok(_) => Ok(path),
        Err(cause) => Err(DeviceError::Target { path, cause }),
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

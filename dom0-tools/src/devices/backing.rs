//! What is behind a disk of domain 0's kernel: a block device, or a file that is made one.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::driver::LOOP;
use super::error::DeviceError;
use super::loop_device;

/// A block device, open.
#[derive(Debug)]
pub struct Backing {
    device: File,
    /// The file or device that was named, without links.
    pub path: PathBuf,
}

/// The path without links, once it is known to be a file or a block device.
pub(super) fn resolve(target: &Path) -> Result<PathBuf, DeviceError> {
    let failed = |cause| DeviceError::Target { path: target.to_owned(), cause };
    let path = target.canonicalize().map_err(failed)?;
    let kind = path.metadata().map_err(failed)?.file_type();
    if kind.is_file() || kind.is_block_device() { Ok(path) } else { Err(DeviceError::NotADisk(path)) }
}

impl Backing {
    /// Opens what `target` names; a file gets a loop device.
    ///
    /// # Errors
    /// It is not there, not to be had, or no disk.
    pub fn open(target: &Path, read_only: bool) -> Result<Self, DeviceError> {
        let path = resolve(target)?;
        let failed = |cause| DeviceError::Target { path: path.clone(), cause };
        let file = File::options().read(true).write(!read_only).open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.file_type().is_block_device() {
            return Ok(Self { device: file, path });
        }
        LOOP.ensure()?;
        let device = loop_device::open(&file, read_only).map_err(failed)?;
        Ok(Self { device, path })
    }

    /// The device's number, as xen-blkback reads it: major and minor in hexadecimal.
    ///
    /// # Errors
    /// As the system says.
    pub fn number(&self) -> io::Result<String> {
        let number = self.device.metadata()?.rdev();
        Ok(format!("{:x}:{:x}", rustix::fs::major(number), rustix::fs::minor(number)))
    }
}

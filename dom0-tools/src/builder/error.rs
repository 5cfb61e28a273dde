//! Why a guest could not be created.

use std::path::PathBuf;
use std::{fmt, io};

use guest_image::{ImageError, LayoutError};

use crate::config::{CpuList, CpuListError};
use crate::devices::DeviceError;
use crate::pools::PoolError;
use crate::xen::error::XenError;
use crate::xs_client::StoreError;

/// The cause, with the file or the limit that it is about.
#[derive(Debug)]
pub enum BuildError {
    /// The kernel or the RAM disk cannot be read.
    File {
        /// `"kernel"` or `"ramdisk"`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// The kernel is no kernel that can be started.
    Kernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: ImageError,
    },
    /// The kernel, the RAM disk or the command line does not fit the guest.
    Layout {
        /// The guest's memory, MiB.
        memory: u64,
        /// What does not fit.
        cause: LayoutError,
    },
    /// The host has not enough free memory.
    Memory {
        /// The guest's memory, MiB.
        wanted: u64,
        /// What the hypervisor has free, MiB.
        free: u64,
        /// What is missing, MiB.
        short: u64,
        /// Why domain 0 did not make room.
        why: Option<String>,
    },
    /// The hypervisor would not give the guest its memory.
    Populate {
        /// The guest's memory, MiB.
        wanted: u64,
        /// What the hypervisor has free now, MiB.
        free: u64,
        /// Its answer.
        cause: XenError,
    },
    /// The host has not the CPUs.
    Cpus {
        /// The ones that are wanted.
        list: CpuList,
        /// What is wrong with them.
        cause: CpuListError,
    },
    /// The host has not the CPU pool.
    Pool(PoolError),
    /// The hypervisor refused a call.
    Xen(XenError),
    /// xenstored refused; that there is none is an error for devices only.
    Store(StoreError),
    /// A device could not be attached.
    Device(DeviceError),
}

impl From<XenError> for BuildError {
    fn from(e: XenError) -> Self {
        Self::Xen(e)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { key, path, cause } => write!(f, "{key} {}: {cause}", path.display()),
            Self::Kernel { path, cause } => write!(f, "kernel {}: {cause}", path.display()),
            Self::Layout { memory, cause } => write!(f, "memory = {memory}: {cause}"),
            Self::Memory { wanted, free, short, why } => {
                write!(f, "memory = {wanted}: the host has {free} MiB free, {short} MiB too few")?;
                why.as_ref().map_or(Ok(()), |why| write!(f, "; {why}"))
            }
            Self::Populate { wanted, free, cause } => {
                write!(f, "memory = {wanted}: the hypervisor refused with {free} MiB still free: {cause}")
            }
            Self::Cpus { list, cause } => write!(f, "cpus = \"{list}\": {cause}"),
            Self::Pool(e) => write!(f, "pool: {e}"),
            Self::Xen(e) => e.fmt(f),
            Self::Store(e) => e.fmt(f),
            Self::Device(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {}

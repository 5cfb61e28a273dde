//! `/dev/xen/privcmd`: hypercalls and mappings of other domains' memory (`linux/xen/privcmd.h`).
#![allow(unsafe_code, reason = "ioctl requests, whose argument types the kernel's header fixes")]

use std::ffi::{c_int, c_void};
use std::fs::{File, OpenOptions};
use std::io;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// `struct privcmd_hypercall`.
#[repr(C)]
pub(super) struct Hypercall {
    pub op: u64,
    pub arg: [u64; 5],
}

/// `struct privcmd_mmapbatch_v2`.
#[repr(C)]
pub(super) struct MmapBatch {
    pub num: u32,
    pub dom: u16,
    pub addr: u64,
    pub arr: *const u64,
    pub err: *mut c_int,
}

/// `struct privcmd_mmap_resource`.
#[repr(C)]
pub(super) struct MmapResource {
    pub dom: u16,
    pub kind: u32,
    pub id: u32,
    pub idx: u32,
    pub num: u64,
    pub addr: u64,
}

const fn request<T>(number: u8) -> Opcode {
    // The header encodes all of these as _IOC_NONE although they carry an argument.
    opcode::from_components(rustix::ioctl::Direction::None, b'P', number, size_of::<T>())
}

/// A request that takes `T` by reference and returns an `int`.
struct Request<'a, T, const NUMBER: u8>(&'a mut T);

// SAFETY: each `NUMBER` is used with its own argument type alone (the functions of `Privcmd` below), and the
// kernel reads and writes that type and what it points to.
unsafe impl<T, const NUMBER: u8> Ioctl for Request<'_, T, NUMBER> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        request::<T>(NUMBER)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<IoctlOutput> {
        Ok(output)
    }
}

/// The open device files.
#[derive(Debug)]
pub struct Privcmd {
    privcmd: File,
    hypercall: File,
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|e| {
        let hint = match e.kind() {
            io::ErrorKind::NotFound => " (is this domain 0, with the module xen-privcmd loaded?)",
            io::ErrorKind::PermissionDenied => " (this takes root)",
            _ => "",
        };
        io::Error::new(e.kind(), format!("{path}: {e}{hint}"))
    })
}

impl Privcmd {
    /// Opens the device files.
    ///
    /// # Errors
    /// If they are not there or not ours to open; the message names the file.
    pub fn open() -> io::Result<Self> {
        Ok(Self { privcmd: open("/dev/xen/privcmd")?, hypercall: open("/dev/xen/hypercall")? })
    }

    /// The device that hypercall memory comes from.
    #[must_use]
    pub fn memory_device(&self) -> &File {
        &self.hypercall
    }

    /// Makes a hypercall and returns its non-negative result.
    ///
    /// # Safety
    /// Whatever the hypervisor reads and writes through `arg` must be the caller's to hand out.
    pub(super) unsafe fn hypercall(&self, op: u32, arg: [u64; 5]) -> io::Result<u32> {
        let mut call = Hypercall { op: op.into(), arg };
        // SAFETY: number 0 takes a `Hypercall`; the caller answers for the pointers in it.
        let result = unsafe { ioctl(&self.privcmd, Request::<_, 0>(&mut call))? };
        Ok(result.cast_unsigned())
    }

    /// Maps frames of another domain over a mapping of this device.
    ///
    /// # Safety
    /// The addresses in `batch` must be the caller's own, as long as `num` says.
    pub(super) unsafe fn mmap_batch(&self, batch: &mut MmapBatch) -> io::Result<()> {
        // SAFETY: number 4 takes a `MmapBatch`; the caller answers for the pointers in it.
        unsafe { ioctl(&self.privcmd, Request::<_, 4>(batch))? };
        Ok(())
    }

    /// Maps a resource of another domain over a mapping of this device.
    ///
    /// # Safety
    /// As for `mmap_batch`.
    pub(super) unsafe fn mmap_resource(&self, resource: &mut MmapResource) -> io::Result<()> {
        // SAFETY: number 7 takes a `MmapResource`; the caller answers for the address in it.
        unsafe { ioctl(&self.privcmd, Request::<_, 7>(resource))? };
        Ok(())
    }

    /// The device to map over.
    pub(super) fn mapping_device(&self) -> &File {
        &self.privcmd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_headers() {
        assert_eq!(request::<Hypercall>(0), 0x0030_5000);
        assert_eq!(request::<MmapBatch>(4), 0x0020_5004);
        assert_eq!(request::<MmapResource>(7), 0x0020_5007);
    }
}

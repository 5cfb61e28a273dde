//! The device files of Xen's drivers, and `ioctl` requests with one argument.
#![allow(unsafe_code, reason = "ioctl requests, whose argument types the kernel's headers fix")]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// A request of number `NUMBER` in the driver's group `GROUP` that takes `T` by reference and returns an `int`.
/// Xen's headers declare all of theirs without a direction, whether they carry an argument or not.
pub(super) struct Request<'a, T, const GROUP: u8, const NUMBER: u8>(&'a mut T);

impl<'a, T, const GROUP: u8, const NUMBER: u8> Request<'a, T, GROUP, NUMBER> {
    /// The request's number as `ioctl` takes it.
    pub const OPCODE: Opcode = opcode::from_components(Direction::None, GROUP, NUMBER, size_of::<T>());

    /// A request with that argument.
    pub fn new(argument: &'a mut T) -> Self {
        Self(argument)
    }

    /// Makes the request.
    ///
    /// # Safety
    /// `T` is the request's argument type, and what it points to (if anything) is the caller's to hand out.
    pub unsafe fn send(self, device: &File) -> io::Result<u32> {
        // SAFETY: as the caller promises.
        Ok(unsafe { ioctl(device, self) }?.cast_unsigned())
    }
}

// SAFETY: the output is the plain result; what `T` must be is the promise of `send`, the only way to make one.
unsafe impl<T, const GROUP: u8, const NUMBER: u8> Ioctl for Request<'_, T, GROUP, NUMBER> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        Self::OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<IoctlOutput> {
        Ok(output)
    }
}

/// Opens a device for reading and writing, never to wait in either; the error names it, and the module that
/// provides it.
pub(super) fn open(path: &str, module: &str) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => format!(" (is this domain 0, with {module} in its kernel?)"),
            io::ErrorKind::PermissionDenied => " (this takes root)".to_owned(),
            _ => String::new(),
        };
        io::Error::new(error.kind(), format!("{path}: {error}{hint}"))
    })
}

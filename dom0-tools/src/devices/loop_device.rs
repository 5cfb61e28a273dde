//! Files as block devices (`linux/loop.h`): each is let go by the kernel when nobody has it open any more.
#![allow(unsafe_code, reason = "ioctl requests, whose argument types the kernel's header fixes")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

/// `LOOP_CTL_GET_FREE`: the number of a device that is free, made if need be.
const GET_FREE: Opcode = 0x4c82;
/// `LOOP_CONFIGURE`: puts a file behind a device.
const CONFIGURE: Opcode = 0x4c0a;

const FLAG_READ_ONLY: u32 = 1;
/// The file goes when the last opener of the device does.
const FLAG_AUTOCLEAR: u32 = 4;
/// Past domain 0's page cache, where the file system can.
const FLAG_DIRECT_IO: u32 = 16;

/// Others may take the free device before we do; how often we ask for another.
const ATTEMPTS: u32 = 64;

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Info>() == 232 && size_of::<Config>() == 304);

/// A request with a pointer to an argument, or none.
struct Request<'a> {
    opcode: Opcode,
    config: Option<&'a mut Config>,
}

// SAFETY: `GET_FREE` takes no argument and `CONFIGURE` a `struct loop_config`, which it only reads; both return an int.
unsafe impl Ioctl for Request<'_> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.config.as_deref_mut().map_or(std::ptr::null_mut(), |config| std::ptr::from_mut(config).cast())
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<IoctlOutput> {
        Ok(output)
    }
}

/// Puts `file` behind a free loop device and returns that, open. It is there for as long as anybody has it open.
///
/// # Errors
/// As the kernel says.
pub(super) fn open(file: &File, read_only: bool) -> io::Result<File> {
    let control = File::options().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..ATTEMPTS {
        // SAFETY: the request takes no argument.
        let number = unsafe { ioctl(&control, Request { opcode: GET_FREE, config: None }) }?;
        let device = File::options().read(true).write(!read_only).open(format!("/dev/loop{number}"))?;
        let access = if read_only { FLAG_READ_ONLY } else { 0 };
        let mut config = Config {
            fd: file.as_raw_fd().cast_unsigned(),
            block_size: 0,
            info: Info {
                device: 0,
                inode: 0,
                rdevice: 0,
                offset: 0,
                size_limit: 0,
                number: 0,
                encrypt_type: 0,
                encrypt_key_size: 0,
                flags: access | FLAG_AUTOCLEAR | FLAG_DIRECT_IO,
                file_name: [0; 64],
                crypt_name: [0; 64],
                encrypt_key: [0; 32],
                init: [0; 2],
            },
            reserved: [0; 8],
        };
        // SAFETY: the argument is the request's, and names a file that is open.
        match unsafe { ioctl(&device, Request { opcode: CONFIGURE, config: Some(&mut config) }) } {
            Ok(_) => return Ok(device),
            Err(Errno::BUSY) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "others take every free loop device"))
}

//! `/dev/xen/evtchn`: event channels of this process (`linux/xen/evtchn.h`).
//!
//! A port that was delivered stays masked until [`Evtchn::unmask`]. The kernel closes every port when the file is
//! closed, which includes the death of the process; the other end of a channel is then open to be bound again by
//! the same domain, and its notifications in between are lost.
#![allow(unsafe_code, reason = "ioctl requests, whose argument types the kernel's header fixes")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::device::{Request, open};
use super::error::XenError;

/// `struct ioctl_evtchn_bind_virq`, `struct ioctl_evtchn_unbind`, `struct ioctl_evtchn_notify`: one number.
#[repr(C)]
struct One(u32);

/// `struct ioctl_evtchn_bind_interdomain`: domain and its port.
#[repr(C)]
struct Two(u32, u32);

type BindVirq<'a> = Request<'a, One, b'E', 0>;
type BindInterdomain<'a> = Request<'a, Two, b'E', 1>;
type Unbind<'a> = Request<'a, One, b'E', 3>;
type Notify<'a> = Request<'a, One, b'E', 4>;

/// The open device.
#[derive(Debug)]
pub struct Evtchn(File);

impl Evtchn {
    /// Opens the device.
    ///
    /// # Errors
    /// If it is not there or not ours to open; the message names it.
    pub fn open() -> Result<Self, XenError> {
        let device = open("/dev/xen/evtchn", "xen-evtchn");
        device.map(Self).map_err(|e| XenError::new("open the event channel device", e))
    }

    /// Binds a new port to the port `remote` of `domain`, which must be unbound and meant for this domain. An event
    /// is pending on it from the start. Gives the new port.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn bind_interdomain(&self, domain: u16, remote: u32) -> Result<u32, XenError> {
        let mut argument = Two(domain.into(), remote);
        // SAFETY: number 1 takes two words.
        let port = unsafe { BindInterdomain::new(&mut argument).send(&self.0) };
        port.map_err(|e| XenError::new("bind an interdomain event channel", e))
    }

    /// Binds a new port to a virtual interrupt (`VIRQ_*`) of the whole machine. Gives the new port.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn bind_virq(&self, virq: u32) -> Result<u32, XenError> {
        // SAFETY: number 0 takes one word.
        let port = unsafe { BindVirq::new(&mut One(virq)).send(&self.0) };
        port.map_err(|e| XenError::new("bind a virtual interrupt", e))
    }

    /// Closes a port.
    ///
    /// # Errors
    /// If it is not bound here.
    pub fn unbind(&self, port: u32) -> Result<(), XenError> {
        // SAFETY: number 3 takes one word.
        let done = unsafe { Unbind::new(&mut One(port)).send(&self.0) };
        done.map(drop).map_err(|e| XenError::new("close an event channel", e))
    }

    /// Signals the other end of a port.
    ///
    /// # Errors
    /// If the port is not bound here.
    pub fn notify(&self, port: u32) -> Result<(), XenError> {
        // SAFETY: number 4 takes one word.
        let done = unsafe { Notify::new(&mut One(port)).send(&self.0) };
        done.map(drop).map_err(|e| XenError::new("signal an event channel", e))
    }

    /// The ports that were signalled since they were unmasked last; without waiting, so perhaps none.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn pending(&self) -> Result<Vec<u32>, XenError> {
        let mut bytes = [0; 1024];
        match (&self.0).read(&mut bytes) {
            Ok(len) => {
                let words = bytes[..len].as_chunks().0;
                Ok(words.iter().map(|word| u32::from_ne_bytes(*word)).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(error) => Err(XenError::new("read pending event channels", error)),
        }
    }

    /// Lets ports be delivered again. To be called before looking at what they announce.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn unmask(&self, ports: &[u32]) -> Result<(), XenError> {
        let bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_ne_bytes()).collect();
        (&self.0).write_all(&bytes).map_err(|e| XenError::new("unmask event channels", e))
    }
}

impl AsFd for Evtchn {
    /// Readable when a port is pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_headers() {
        assert_eq!(BindVirq::OPCODE, 0x0004_4500);
        assert_eq!(BindInterdomain::OPCODE, 0x0008_4501);
        assert_eq!(Unbind::OPCODE, 0x0004_4503);
        assert_eq!(Notify::OPCODE, 0x0004_4504);
    }
}

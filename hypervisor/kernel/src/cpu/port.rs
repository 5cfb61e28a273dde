//! I/O ports.
#![allow(unsafe_code, reason = "IN and OUT")]

use tenon_core::size::Size;
use x86_64::structures::port::{PortRead, PortWrite};

/// An I/O port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Port {
    /// Reads the port.
    ///
    /// # Safety
    /// What reading does to the device behind it breaks nothing of ours.
    #[inline]
    pub unsafe fn read(self, size: Size) -> u32 {
        // SAFETY: the caller's promise.
        unsafe {
            match size {
                Size::Byte => u8::read_from_port(self.0).into(),
                Size::Word => u16::read_from_port(self.0).into(),
                Size::Dword => u32::read_from_port(self.0),
            }
        }
    }

    /// Writes the port; bits past the size are ignored.
    ///
    /// # Safety
    /// What writing does to the device behind it breaks nothing of ours.
    #[inline]
    pub unsafe fn write(self, size: Size, value: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            match size {
                Size::Byte => u8::write_to_port(self.0, value as u8),
                Size::Word => u16::write_to_port(self.0, value as u16),
                Size::Dword => u32::write_to_port(self.0, value),
            }
        }
    }
}

//! I/O ports.
#![allow(unsafe_code, reason = "IN and OUT")]

use x86_64::structures::port::{PortRead, PortWrite};

/// The width of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Word,
    /// 32 bits.
    Dword,
}

/// An I/O port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Port {
    /// Reads the port.
    ///
    /// # Safety
    /// What reading does to the device behind it breaks nothing of ours.
    #[inline]
    pub unsafe fn read(self, width: Width) -> u32 {
        // SAFETY: the caller's promise.
        unsafe {
            match width {
                Width::Byte => u8::read_from_port(self.0).into(),
                Width::Word => u16::read_from_port(self.0).into(),
                Width::Dword => u32::read_from_port(self.0),
            }
        }
    }

    /// Writes the port; bits past the width are ignored.
    ///
    /// # Safety
    /// What writing does to the device behind it breaks nothing of ours.
    #[inline]
    pub unsafe fn write(self, width: Width, value: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            match width {
                Width::Byte => u8::write_to_port(self.0, value as u8),
                Width::Word => u16::write_to_port(self.0, value as u16),
                Width::Dword => u32::write_to_port(self.0, value),
            }
        }
    }
}

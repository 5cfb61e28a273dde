//! I/O ports.
#![allow(unsafe_code, reason = "IN and OUT")]

use core::arch::asm;

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
        let value: u32;
        // SAFETY: the caller's promise.
        unsafe {
            match width {
                Width::Byte => {
                    let byte: u8;
                    asm!("in al, dx", in("dx") self.0, out("al") byte, options(nostack, preserves_flags));
                    value = u32::from(byte);
                }
                Width::Word => {
                    let word: u16;
                    asm!("in ax, dx", in("dx") self.0, out("ax") word, options(nostack, preserves_flags));
                    value = u32::from(word);
                }
                Width::Dword => {
                    asm!("in eax, dx", in("dx") self.0, out("eax") value, options(nostack, preserves_flags));
                }
            }
        }
        value
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
                Width::Byte => {
                    asm!("out dx, al", in("dx") self.0, in("al") value as u8, options(nostack, preserves_flags));
                }
                Width::Word => {
                    asm!("out dx, ax", in("dx") self.0, in("ax") value as u16, options(nostack, preserves_flags));
                }
                Width::Dword => {
                    asm!("out dx, eax", in("dx") self.0, in("eax") value, options(nostack, preserves_flags));
                }
            }
        }
    }
}

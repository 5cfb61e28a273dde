//! Where the base address registers put a function's memory.

use super::{Device, Size};

const FIRST: u16 = 0x10;

/// The registers as the hardware shows them.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    raw: [u32; 6],
    /// All ones were written last, to learn the size: the value is no address.
    sizing: [bool; 6],
    count: u8,
}

impl Bars {
    pub(super) fn new(header_type: u8, device: &Device<'_>) -> Self {
        let count = match header_type & 0x7f {
            0 => 6,
            1 => 2,
            _ => 0,
        };
        let mut bars = Self { raw: [0; 6], sizing: [false; 6], count };
        for index in 0..count {
            bars.raw[usize::from(index)] = device.read(FIRST + 4 * u16::from(index), Size::Dword);
        }
        bars
    }

    /// Which register the aligned `offset` is.
    pub(super) fn index(&self, offset: u16) -> Option<u8> {
        let index = offset.checked_sub(FIRST)? / 4;
        (index < u16::from(self.count)).then_some(index as u8)
    }

    /// Takes over what the hardware made of a write of `value`.
    pub(super) fn written(&mut self, index: u8, value: u32, device: &Device<'_>) {
        let slot = usize::from(index);
        if let (Some(raw), Some(sizing)) = (self.raw.get_mut(slot), self.sizing.get_mut(slot)) {
            *raw = device.read(FIRST + 4 * u16::from(index), Size::Dword);
            *sizing = value == u32::MAX;
        }
    }

    /// The memory address in register `index`; `None` for ports, for sizes, and for registers never set.
    pub(super) fn memory(&self, index: u8) -> Option<u64> {
        if index >= self.count {
            return None;
        }
        let slot = usize::from(index);
        let low = *self.raw.get(slot)?;
        if low & 1 != 0 || self.sizing[slot] {
            return None;
        }
        let high = if low >> 1 & 3 == 2 {
            if slot + 1 >= usize::from(self.count) || self.sizing[slot + 1] {
                return None;
            }
            self.raw[slot + 1]
        } else {
            0
        };
        let address = u64::from(low & !0xf) | u64::from(high) << 32;
        (address != 0).then_some(address)
    }
}

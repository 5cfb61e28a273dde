//! Where the base address registers put a function's memory.

use super::{Device, Size};

const FIRST: u16 = 0x10;

/// The registers as the hardware shows them.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    /// `None`: there is none, or all ones were written last, to learn the size, and the value is no address.
    registers: [Option<u32>; 6],
    count: usize,
}

impl Bars {
    pub(super) fn new(header_type: u8, device: &Device<'_>) -> Self {
        let count = match header_type & 0x7f {
            0 => 6,
            1 => 2,
            _ => 0,
        };
        let read = |index| (index < count).then(|| device.read(FIRST + 4 * index as u16, Size::Dword));
        Self { registers: core::array::from_fn(read), count }
    }

    /// Takes over what the hardware made of a write of `value`. False if the aligned `offset` is none of the registers.
    pub(super) fn written(&mut self, offset: u16, value: u32, device: &Device<'_>) -> bool {
        let index = usize::from(offset.wrapping_sub(FIRST) / 4);
        let Some(register) = self.registers.iter_mut().take(self.count).nth(index) else { return false };
        let shown = device.read(offset, Size::Dword);
        *register = (value != u32::MAX).then_some(shown);
        true
    }

    /// The memory address in register `index`; `None` for ports, for sizes, and for registers never set.
    pub(super) fn memory(&self, index: u8) -> Option<u64> {
        let mut registers = self.registers.iter().skip(usize::from(index)).copied();
        let low = registers.next()??;
        if low & 1 != 0 {
            return None;
        }
        let high = if low >> 1 & 3 == 2 { registers.next()?? } else { 0 };
        let address = u64::from(low & !0xf) | u64::from(high) << 32;
        (address != 0).then_some(address)
    }
}

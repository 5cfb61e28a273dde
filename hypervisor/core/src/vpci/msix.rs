//! The MSI-X capability and its table (PCI Local Bus 3.0, 6.8.2).
//!
//! The guest's table is a copy; the real one is written only by the kernel, with the messages that Tenon chose.
//! Function mask and enable go through to the hardware.

use alloc::vec::Vec;

use super::bar::Bars;
use super::{Bdf, Device, Effect, Effects, Frames, Interrupt, Location, Size};
use crate::frame::{Gaddr, Maddr};

const ENABLE: u16 = 1 << 15;
const FUNCTION_MASK: u16 = 1 << 14;
const ENTRY_BYTES: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    data: u32,
    masked: bool,
    /// The kernel has this message.
    bound: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Msix {
    bdf: Bdf,
    at: u16,
    control: u16,
    bar: u8,
    offset: u64,
    entries: Vec<Entry>,
    /// Where the table is now, if the function decodes memory.
    table: Option<u64>,
}

impl Msix {
    /// `None` if there is no memory for the copy.
    pub(super) fn new(at: u16, device: &mut Device<'_>) -> Option<Self> {
        let control = device.read(at + 2, Size::Word) as u16;
        if control & ENABLE != 0 {
            device.write(at + 2, Size::Word, u32::from(control & !(ENABLE | FUNCTION_MASK)));
        }
        let count = usize::from(control & 0x7ff) + 1;
        let mut entries = Vec::new();
        entries.try_reserve_exact(count).ok()?;
        entries.resize(count, Entry { address: 0, data: 0, masked: true, bound: false });
        let place = device.read(at + 4, Size::Dword);
        Some(Self {
            bdf: device.bdf,
            at,
            control: control & !(ENABLE | FUNCTION_MASK),
            bar: (place & 7) as u8,
            offset: u64::from(place & !7),
            entries,
            table: None,
        })
    }

    /// Whether the aligned `offset` is the register with the control word.
    pub(super) const fn covers(&self, offset: u16) -> bool {
        offset == self.at
    }

    pub(super) fn read(&self, device: &Device<'_>) -> u32 {
        device.read(self.at, Size::Word) | u32::from(self.control) << 16
    }

    pub(super) fn write(&mut self, offset: u16, size: Size, value: u32, device: &mut Device<'_>) {
        // Only the top byte of the register has writable bits.
        let shift = (offset - self.at) * 8;
        if shift + size.bytes() * 8 < 32 {
            return;
        }
        let wanted = ((value << shift) >> 16) as u16 & (ENABLE | FUNCTION_MASK);
        let before = self.control;
        self.control = before & !(ENABLE | FUNCTION_MASK) | wanted;
        if wanted & !before & ENABLE != 0 {
            for index in 0..self.entries.len() {
                self.settle(index, device.effects);
            }
        }
        device.write(self.at + 2, Size::Word, u32::from(self.control));
        if before & !wanted & ENABLE != 0 {
            for entry in &mut self.entries {
                entry.bound = false;
            }
            (device.effects)(Effect::Unbind(self.bdf));
        }
    }

    /// Follows the table to where BARs and memory decoding put it now.
    pub(super) fn place(&mut self, bars: &Bars, decode: bool, effects: Effects<'_>) {
        let address = if decode { bars.memory(self.bar) } else { None };
        let table = address.and_then(|a| a.checked_add(self.offset)).filter(|t| *t <= u64::MAX - 0x1_0000);
        if table == self.table {
            return;
        }
        if let Some(old) = self.frames() {
            effects(Effect::Untrap(old));
        }
        self.table = table;
        if let Some(new) = self.frames() {
            effects(Effect::Trap(new));
        }
    }

    /// The pages of the table, where the guest's accesses have to exit.
    pub(super) fn frames(&self) -> Option<Frames> {
        let start = self.table?;
        let last = start + self.entries.len() as u64 * ENTRY_BYTES - 1;
        let first = Gaddr(start).frame();
        Some(Frames { first, count: Gaddr(last).frame().0 - first.0 + 1 })
    }

    /// The entry and the byte in it that `address` is.
    fn entry_at(&self, address: u64) -> Option<(usize, u64)> {
        let at = address.checked_sub(self.table?)?;
        let index = usize::try_from(at / ENTRY_BYTES).ok()?;
        (index < self.entries.len()).then_some((index, at % ENTRY_BYTES))
    }

    /// Reads up to 8 bytes of the guest's table; `None` if `address` is not in it.
    pub(super) fn read_table(&self, address: u64) -> Option<u64> {
        let (index, at) = self.entry_at(address)?;
        let entry = self.entries.get(index)?;
        let high = u64::from(entry.data) | u64::from(entry.masked) << 32;
        let image = u128::from(entry.address) | u128::from(high) << 64;
        Some((image >> (8 * at)) as u64)
    }

    /// Writes 4 or 8 aligned bytes of the guest's table; false if `address` is not in it. Others are ignored.
    pub(super) fn write_table(&mut self, address: u64, bytes: u64, value: u64, effects: Effects<'_>) -> bool {
        let Some((index, at)) = self.entry_at(address) else { return false };
        match (bytes, at) {
            (4, 0 | 4 | 8 | 12) => self.write_word(index, at, value as u32, effects),
            (8, 0 | 8) => {
                self.write_word(index, at, value as u32, effects);
                self.write_word(index, at + 4, (value >> 32) as u32, effects);
            }
            _ => {}
        }
        true
    }

    fn write_word(&mut self, index: usize, at: u64, value: u32, effects: Effects<'_>) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let old = (entry.address, entry.data);
        match at {
            0 => entry.address = entry.address & !0xffff_ffff | u64::from(value & !3),
            4 => entry.address = entry.address & 0xffff_ffff | u64::from(value) << 32,
            8 => entry.data = value,
            _ => {
                entry.masked = value & 1 != 0;
                if entry.masked {
                    // Said even if it was masked before: the hardware's entry may be as firmware left it.
                    if let Some(interrupt) = self.interrupt(index) {
                        effects(Effect::Mask(interrupt));
                    }
                    return;
                }
            }
        }
        if old != (entry.address, entry.data) {
            entry.bound = false;
        }
        if self.control & ENABLE != 0 {
            self.settle(index, effects);
        }
    }

    /// Tells the kernel of an entry that is open.
    fn settle(&mut self, index: usize, effects: Effects<'_>) {
        let Some(interrupt) = self.interrupt(index) else { return };
        let Some(entry) = self.entries.get_mut(index).filter(|e| !e.masked) else { return };
        let Entry { address, data, .. } = *entry;
        if core::mem::replace(&mut entry.bound, true) {
            effects(Effect::Unmask(interrupt));
        } else {
            effects(Effect::Bind { interrupt, address, data });
        }
    }

    fn interrupt(&self, index: usize) -> Option<Interrupt> {
        let location = Location::Table(Maddr(self.table? + index as u64 * ENTRY_BYTES));
        Some(Interrupt { bdf: self.bdf, entry: index as u16, location })
    }
}

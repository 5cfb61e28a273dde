//! Domain 0's PCI configuration space: the hardware's, but for what makes interrupts.
//!
//! The guest reads back the MSI and MSI-X messages that it wrote; the hardware gets messages of Tenon's choice,
//! which the kernel writes when a [`Effect::Bind`] asks for it. MSI-X tables lie in the functions' memory, so
//! their pages are followed through BAR and command register writes and trapped.
//!
//! Functions are looked at when the guest first reaches them. The kernel keeps the whole behind one lock.

use alloc::vec::Vec;

use crate::frame::{Gfn, Maddr};

mod address;
mod bar;
mod function;
mod msi;
mod msix;
#[cfg(test)]
mod tests;

pub use address::{Bdf, Ecam, Register};
pub use msi::MsiRegisters;

pub use crate::size::Size;

use function::Function;

/// The machine's configuration space.
pub trait ConfigSpace {
    /// Reads. All ones where there is no function, and beyond byte 255 if the bus has no way there.
    fn read_config(&self, at: Register, size: Size) -> u32;
    /// Writes.
    fn write_config(&mut self, at: Register, size: Size, value: u32);
}

/// Who carries out what the guest's accesses ask of the kernel.
pub type Effects<'a> = &'a mut dyn FnMut(Effect);

/// A function under access.
struct Device<'a> {
    bdf: Bdf,
    hw: &'a mut dyn ConfigSpace,
    effects: Effects<'a>,
}

impl Device<'_> {
    fn read(&self, offset: u16, size: Size) -> u32 {
        self.hw.read_config(Register { bdf: self.bdf, offset }, size)
    }

    fn write(&mut self, offset: u16, size: Size, value: u32) {
        self.hw.write_config(Register { bdf: self.bdf, offset }, size, value);
    }
}

/// A run of page frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The first.
    pub first: Gfn,
    /// How many.
    pub count: u64,
}

impl Frames {
    /// Whether the two have a frame in common.
    const fn meets(self, other: Self) -> bool {
        self.first.0 < other.first.0.saturating_add(other.count)
            && other.first.0 < self.first.0.saturating_add(self.count)
    }
}

/// Where the hardware keeps a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the MSI capability.
    Capability(MsiRegisters),
    /// In this 16-byte entry of an MSI-X table: address, data, mask (bit 0 of the last word).
    Table(Maddr),
}

/// An interrupt of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The device.
    pub bdf: Bdf,
    /// Number of the interrupt within the device.
    pub entry: u16,
    /// Where its message is.
    pub location: Location,
}

/// What a write asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this interrupt the message that the guest wrote, then open it in the hardware.
    Bind {
        /// The interrupt.
        interrupt: Interrupt,
        /// The guest's message address.
        address: u64,
        /// The guest's message data.
        data: u32,
    },
    /// Close a table entry in the hardware.
    Mask(Interrupt),
    /// Open a table entry in the hardware; its message is still the one bound last.
    Unmask(Interrupt),
    /// The device's MSI or MSI-X was switched off: every binding is gone.
    Unbind(Bdf),
    /// Make the guest's accesses to these pages exit, to [`VirtualPci::read_table`] and `write_table`.
    Trap(Frames),
    /// Let the guest reach these pages again, but for those that still [`VirtualPci::traps`].
    Untrap(Frames),
}

/// The functions of the machine, as domain 0 sees them.
#[derive(Clone, Debug, Default)]
pub struct VirtualPci {
    /// In the order of their names.
    functions: Vec<Function>,
}

impl VirtualPci {
    /// Reads configuration space. All ones where the guest is to see nothing.
    pub fn read(&mut self, at: Register, size: Size, hw: &mut dyn ConfigSpace, effects: Effects<'_>) -> u32 {
        let mut device = Device { bdf: at.bdf, hw, effects };
        match self.function(&mut device) {
            Some(function) => function.read(at.offset, size, &device),
            None => device.read(at.offset, size),
        }
    }

    /// Writes configuration space. Writes to what the guest does not see are dropped.
    pub fn write(
        &mut self,
        at: Register,
        size: Size,
        value: u32,
        hw: &mut dyn ConfigSpace,
        effects: Effects<'_>,
    ) {
        let mut device = Device { bdf: at.bdf, hw, effects };
        if let Some(function) = self.function(&mut device) {
            function.write(at.offset, size, value, &mut device);
        }
    }

    /// Reads 1 to 8 bytes at a machine address in a trapped page. `None`: not a table entry, read the hardware.
    pub fn read_table(&self, at: Maddr, bytes: u64) -> Option<u64> {
        let value = self.functions.iter().find_map(|f| f.msix.as_ref()?.read_table(at.0))?;
        let unused = 64 - 8 * bytes.clamp(1, 8);
        Some(value << unused >> unused)
    }

    /// Writes at a machine address in a trapped page. False: not a table entry, write the hardware.
    pub fn write_table(&mut self, at: Maddr, bytes: u64, value: u64, effects: Effects<'_>) -> bool {
        let mut tables = self.functions.iter_mut().filter_map(|f| f.msix.as_mut());
        tables.any(|msix| msix.write_table(at.0, bytes, value, effects))
    }

    /// Whether a function's table lies in any of these pages.
    pub fn traps(&self, frames: Frames) -> bool {
        self.functions.iter().filter_map(|f| f.msix.as_ref()?.frames()).any(|table| table.meets(frames))
    }

    /// The state of a function, looked at now if it never was.
    fn function(&mut self, device: &mut Device<'_>) -> Option<&mut Function> {
        let index = match self.functions.binary_search_by_key(&device.bdf, |f| f.bdf) {
            Ok(index) => index,
            Err(index) => {
                self.functions.try_reserve(1).ok()?;
                self.functions.insert(index, Function::discover(device)?);
                index
            }
        };
        self.functions.get_mut(index)
    }
}

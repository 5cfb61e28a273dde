//! The MSI capability as the guest sees it (PCI Local Bus 3.0, 6.8.1). It offers one message.

use super::{Bdf, ConfigSpace, Device, Effect, Interrupt, Location, Register, Size};

const ENABLE: u16 = 1 << 0;
const IS_64BIT: u16 = 1 << 7;
const MASKABLE: u16 = 1 << 8;

/// The capability's registers in the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiRegisters {
    /// Offset of the capability.
    pub at: u16,
    /// It has the upper half of the address.
    pub is_64bit: bool,
}

impl MsiRegisters {
    const fn data(self) -> u16 {
        if self.is_64bit { 12 } else { 8 }
    }

    /// Writes the message that Tenon chose and switches the capability on.
    pub fn program(self, bdf: Bdf, address: u64, data: u32, hw: &mut dyn ConfigSpace) {
        let register = |offset| Register { bdf, offset: self.at + offset };
        hw.write_config(register(4), Size::Dword, address as u32);
        if self.is_64bit {
            hw.write_config(register(8), Size::Dword, (address >> 32) as u32);
        }
        hw.write_config(register(self.data()), Size::Word, data & 0xffff);
        // One message, whatever was enabled before.
        let control = hw.read_config(register(2), Size::Word) as u16 & !0x70;
        hw.write_config(register(2), Size::Word, u32::from(control | ENABLE));
    }

    /// Switches the capability off.
    pub fn silence(self, bdf: Bdf, hw: &mut dyn ConfigSpace) {
        let at = Register { bdf, offset: self.at + 2 };
        let control = hw.read_config(at, Size::Word) as u16;
        hw.write_config(at, Size::Word, u32::from(control & !ENABLE));
    }
}

/// The guest's copy of the capability: reads come from it, writes go to it, and what follows goes to the kernel.
#[derive(Clone, Debug)]
pub(super) struct Msi {
    hardware: MsiRegisters,
    image: [u8; 24],
    writable: [u8; 24],
    maskable: bool,
}

#[derive(PartialEq, Eq)]
struct State {
    enabled: bool,
    address: u64,
    data: u16,
    masked: bool,
}

impl Msi {
    pub(super) fn new(at: u16, device: &mut Device<'_>) -> Self {
        let header = device.read(at, Size::Dword);
        let control = (header >> 16) as u16;
        if control & ENABLE != 0 {
            // What firmware left on points at nobody.
            device.write(at + 2, Size::Word, u32::from(control & !ENABLE));
        }
        let hardware = MsiRegisters { at, is_64bit: control & IS_64BIT != 0 };
        let maskable = control & MASKABLE != 0;
        let mut msi = Self { hardware, image: [0; 24], writable: [0; 24], maskable };
        let shown = header & 0xffff | u32::from(control & (IS_64BIT | MASKABLE)) << 16;
        msi.image[..4].copy_from_slice(&shown.to_le_bytes());
        msi.writable[2] = ENABLE as u8;
        let data = msi.data_at();
        msi.writable[4..8].copy_from_slice(&[0xfc, 0xff, 0xff, 0xff]);
        msi.writable[8..data].fill(0xff);
        msi.writable[data..data + 2].fill(0xff);
        if maskable {
            msi.writable[data + 4] = 1;
        }
        msi
    }

    const fn data_at(&self) -> usize {
        self.hardware.data() as usize
    }

    const fn length(&self) -> u16 {
        self.data_at() as u16 + if self.maskable { 12 } else { 4 }
    }

    /// Whether the aligned `offset` is one of its registers.
    pub(super) const fn covers(&self, offset: u16) -> bool {
        offset >= self.hardware.at && offset - self.hardware.at < self.length()
    }

    /// Reads the register at the aligned `offset`. The pending bits are the hardware's.
    pub(super) fn read(&self, offset: u16, device: &Device<'_>) -> u32 {
        let at = usize::from(offset - self.hardware.at);
        if at == self.data_at() + 8 {
            return device.read(offset, Size::Dword) & 1;
        }
        self.word(at)
    }

    fn word(&self, at: usize) -> u32 {
        match self.image.get(at..at + 4) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    fn state(&self) -> State {
        let data = self.data_at();
        let high = if self.hardware.is_64bit { self.word(8) } else { 0 };
        State {
            enabled: self.image[2] & ENABLE as u8 != 0,
            address: u64::from(self.word(4)) | u64::from(high) << 32,
            data: self.word(data) as u16,
            masked: self.maskable && self.image[data + 4] & 1 != 0,
        }
    }

    pub(super) fn write(&mut self, offset: u16, size: Size, value: u32, device: &mut Device<'_>) {
        let bdf = device.bdf;
        let before = self.state();
        let at = usize::from(offset - self.hardware.at);
        let bytes = value.to_le_bytes();
        let span = at..at + usize::from(size.bytes());
        let (Some(image), Some(mask)) = (self.image.get_mut(span.clone()), self.writable.get(span)) else {
            return;
        };
        for ((byte, mask), new) in image.iter_mut().zip(mask).zip(bytes) {
            *byte = *byte & !mask | new & mask;
        }
        let after = self.state();
        if before.masked != after.masked {
            device.write(self.hardware.at + self.hardware.data() + 4, Size::Dword, u32::from(after.masked));
        }
        match (before.enabled, after.enabled) {
            (true, false) => {
                self.hardware.silence(bdf, device.hw);
                (device.effects)(Effect::Unbind(bdf));
            }
            (was, true) if !was || before.address != after.address || before.data != after.data => {
                let interrupt = Interrupt { bdf, entry: 0, location: Location::Capability(self.hardware) };
                let (address, data) = (after.address, after.data.into());
                (device.effects)(Effect::Bind { interrupt, address, data });
            }
            _ => {}
        }
    }
}

//! One function: what of its configuration space is not the hardware's alone.

use super::bar::Bars;
use super::msi::Msi;
use super::msix::Msix;
use super::{Bdf, Device, Effects, Size};

const COMMAND: u16 = 0x04;
const MEMORY_DECODE: u32 = 1 << 1;
const STATUS_CAPABILITIES: u32 = 1 << 20;
const CAPABILITY_POINTER: u16 = 0x34;
const EXTENDED_START: u16 = 0x100;

const CAP_MSI: u8 = 0x05;
const CAP_PCIE: u8 = 0x10;
const CAP_MSIX: u8 = 0x11;
/// Extended capabilities that are not shown: ATS, SR-IOV (nobody traps the tables of virtual functions), page
/// requests, PASID.
const HIDDEN: [u16; 4] = [0x0f, 0x10, 0x13, 0x1b];

/// A list of capabilities cannot be longer than the space that it is in.
const MAX_CAPABILITIES: usize = 48;
const MAX_EXTENDED: usize = 480;

#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) bdf: Bdf,
    bars: Bars,
    decode: bool,
    msi: Option<Msi>,
    pub(super) msix: Option<Msix>,
    /// Offsets of hidden extended capabilities; 0 is none.
    hidden: [u16; HIDDEN.len()],
}

impl Function {
    /// Looks at the function. `None`: there is none, or no memory for its state.
    pub(super) fn discover(device: &mut Device<'_>) -> Option<Self> {
        // All ones is nobody; vendor 1 is "try again" (PCI Express Base, 2.3.2).
        if matches!(device.read(0, Size::Dword) & 0xffff, 0xffff | 0x0001) {
            return None;
        }
        let header_type = device.read(0x0e, Size::Byte) as u8;
        let command = device.read(COMMAND, Size::Dword);
        let mut function = Self {
            bdf: device.bdf,
            bars: Bars::new(header_type, device),
            decode: command & MEMORY_DECODE != 0,
            msi: None,
            msix: None,
            hidden: [0; HIDDEN.len()],
        };
        if command & STATUS_CAPABILITIES != 0 && header_type & 0x7f <= 1 {
            function.capabilities(device)?;
        }
        function.place_table(device.effects);
        Some(function)
    }

    fn capabilities(&mut self, device: &mut Device<'_>) -> Option<()> {
        let mut at = device.read(CAPABILITY_POINTER, Size::Byte) as u16 & 0xfc;
        let mut is_express = false;
        for _ in 0..MAX_CAPABILITIES {
            if at < 0x40 {
                break;
            }
            let header = device.read(at, Size::Word);
            match header as u8 {
                // One that runs over the end of the space is not one; it stays the hardware's.
                CAP_MSI if self.msi.is_none() && at <= 0x100 - 24 => {
                    self.msi = Some(Msi::new(at, device));
                }
                CAP_MSIX if self.msix.is_none() && at <= 0x100 - 12 => {
                    self.msix = Some(Msix::new(at, device)?);
                }
                CAP_PCIE => is_express = true,
                _ => {}
            }
            at = (header >> 8) as u16 & 0xfc;
        }
        if is_express {
            self.extended(device);
        }
        Some(())
    }

    fn extended(&mut self, device: &Device<'_>) {
        let mut at = EXTENDED_START;
        for _ in 0..MAX_EXTENDED {
            let header = device.read(at, Size::Dword);
            if header == 0 || header == u32::MAX {
                break;
            }
            if let Some(kind) = HIDDEN.iter().position(|id| u32::from(*id) == header & 0xffff) {
                self.hidden[kind] = at;
            }
            at = (header >> 20) as u16 & 0xffc;
            if at < EXTENDED_START {
                break;
            }
        }
    }

    fn hides(&self, register: u16) -> bool {
        register >= EXTENDED_START && self.hidden.contains(&register)
    }

    pub(super) fn read(&self, offset: u16, size: Size, device: &Device<'_>) -> u32 {
        let register = offset & !3;
        let value = match (&self.msi, &self.msix) {
            (Some(msi), _) if msi.covers(register) => msi.read(register, device),
            (_, Some(msix)) if msix.covers(register) => msix.read(device),
            // The capability becomes an empty one, the list goes on.
            _ if self.hides(register) => device.read(register, Size::Dword) & 0xfff0_0000,
            _ => return device.read(offset, size),
        };
        value >> ((offset & 3) * 8) & size.ones()
    }

    pub(super) fn write(&mut self, offset: u16, size: Size, value: u32, device: &mut Device<'_>) {
        let register = offset & !3;
        if let Some(msi) = self.msi.as_mut().filter(|m| m.covers(register)) {
            return msi.write(offset, size, value, device);
        }
        if let Some(msix) = self.msix.as_mut().filter(|m| m.covers(register)) {
            return msix.write(offset, size, value, device);
        }
        if self.hides(register) {
            return;
        }
        if offset == COMMAND && value & MEMORY_DECODE == 0 && self.decode {
            // The pages may be anybody's as soon as the hardware lets go of them.
            self.decode = false;
            self.place_table(device.effects);
        }
        device.write(offset, size, value);
        if offset == COMMAND {
            self.decode = value & MEMORY_DECODE != 0;
            self.place_table(device.effects);
        } else if self.bars.written(register, value, device) {
            self.place_table(device.effects);
        }
    }

    fn place_table(&mut self, effects: Effects<'_>) {
        if let Some(msix) = &mut self.msix {
            msix.place(&self.bars, self.decode, effects);
        }
    }
}

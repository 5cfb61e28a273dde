//! The local vector table: timer, thermal, performance, LINT0, LINT1 and error, each with its own writable bits.
//!
//! An entry is named by its register number.

pub(super) const TIMER: u8 = 0x32;
pub(super) const ERROR: u8 = 0x37;

/// Set while an entry is masked.
pub(super) const MASKED: u32 = 1 << 16;

/// Bits that software may set (SDM vol. 3, figure 10-8); the others are read-only or reserved.
const WRITABLE: [u32; 6] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];
/// Read-only status bits: delivery, and a pin's remote IRR.
const STATUS: [u32; 6] = [0x1000, 0x1000, 0x1000, 0x5000, 0x5000, 0x1000];

fn index(register: u8) -> usize {
    register.wrapping_sub(TIMER).into()
}

/// Bits that x2APIC writes may carry without #GP. `None`: no entry has that number.
pub(super) fn tolerated(register: u8) -> Option<u32> {
    Some(WRITABLE.get(index(register))? | STATUS.get(index(register))?)
}

/// The table. After reset, and while the APIC is software-disabled, every entry is masked.
#[derive(Clone, Debug)]
pub(super) struct Table([u32; 6]);

impl Table {
    pub(super) const fn new() -> Self {
        Self([MASKED; 6])
    }

    pub(super) fn get(&self, register: u8) -> Option<u32> {
        self.0.get(index(register)).copied()
    }

    pub(super) fn set(&mut self, register: u8, value: u32) -> Option<()> {
        *self.0.get_mut(index(register))? = value & WRITABLE.get(index(register))?;
        Some(())
    }

    pub(super) fn mask_all(&mut self) {
        self.0.iter_mut().for_each(|entry| *entry |= MASKED);
    }
}

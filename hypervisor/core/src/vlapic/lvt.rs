//! The local vector table: six entries, each with its own writable bits.

/// Set while an entry is masked.
pub(super) const MASKED: u32 = 1 << 16;

/// The entries in register order (0x320 to 0x370).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Timer,
    Thermal,
    Perf,
    Lint0,
    Lint1,
    Error,
}

impl Entry {
    /// The entry of a register number (offset / 16).
    pub(super) const fn of_register(register: u8) -> Option<Self> {
        Some(match register {
            0x32 => Self::Timer,
            0x33 => Self::Thermal,
            0x34 => Self::Perf,
            0x35 => Self::Lint0,
            0x36 => Self::Lint1,
            0x37 => Self::Error,
            _ => return None,
        })
    }

    /// Bits that software may set (SDM vol. 3, figure 10-8); the others are read-only or reserved.
    pub(super) const fn writable(self) -> u32 {
        match self {
            Self::Timer => 0x7_00ff,
            Self::Thermal | Self::Perf => 0x1_07ff,
            Self::Lint0 | Self::Lint1 => 0x1_a7ff,
            Self::Error => 0x1_00ff,
        }
    }

    /// Bits that x2APIC writes may carry without #GP: the writable ones and the read-only status bits.
    pub(super) const fn tolerated(self) -> u32 {
        match self {
            Self::Lint0 | Self::Lint1 => self.writable() | 1 << 12 | 1 << 14,
            _ => self.writable() | 1 << 12,
        }
    }
}

/// The table. After reset, and while the APIC is software-disabled, every entry is masked.
#[derive(Clone, Debug)]
pub(super) struct Table([u32; 6]);

impl Table {
    pub(super) const fn new() -> Self {
        Self([MASKED; 6])
    }

    pub(super) const fn get(&self, entry: Entry) -> u32 {
        self.0[entry as usize]
    }

    pub(super) const fn set(&mut self, entry: Entry, value: u32) {
        self.0[entry as usize] = value & entry.writable();
    }

    pub(super) const fn mask_all(&mut self) {
        let mut i = 0;
        while i < self.0.len() {
            self.0[i] |= MASKED;
            i += 1;
        }
    }
}

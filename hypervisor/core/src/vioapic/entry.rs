//! One redirection table entry (82093AA datasheet, 3.2.4).

use crate::vlapic::{Delivery, Destination, Message, Trigger};

const STATUS: u64 = 1 << 12;
const ACTIVE_LOW: u64 = 1 << 13;
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
/// Vector, delivery and destination mode, polarity, trigger, mask, destination.
const WRITABLE: u64 = 0xff00_0000_0001_afff;

/// Which voltage a line is active at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// ISA's.
    ActiveHigh,
    /// PCI's.
    ActiveLow,
}

/// The entry's 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(u64);

impl Entry {
    pub(super) const RESET: Self = Self(MASKED);

    pub(super) const fn half(self, high: bool) -> u32 {
        if high { (self.0 >> 32) as u32 } else { self.0 as u32 }
    }

    /// Writes one half; status bits stay, but an edge entry has no remote IRR.
    pub(super) const fn set_half(&mut self, high: bool, value: u32) {
        let new = if high {
            self.0 & 0xffff_ffff | (value as u64) << 32
        } else {
            self.0 & !0xffff_ffff | value as u64
        };
        self.0 = new & WRITABLE | self.0 & (REMOTE_IRR | STATUS);
        if self.0 & LEVEL == 0 {
            self.0 &= !REMOTE_IRR;
        }
    }

    pub(super) const fn vector(self) -> u8 {
        self.0 as u8
    }

    pub(super) const fn is_masked(self) -> bool {
        self.0 & MASKED != 0
    }

    pub(super) const fn trigger(self) -> Trigger {
        if self.0 & LEVEL != 0 { Trigger::Level } else { Trigger::Edge }
    }

    pub(super) const fn polarity(self) -> Polarity {
        if self.0 & ACTIVE_LOW != 0 { Polarity::ActiveLow } else { Polarity::ActiveHigh }
    }

    pub(super) const fn remote_irr(self) -> bool {
        self.0 & REMOTE_IRR != 0
    }

    pub(super) const fn set_remote_irr(&mut self, on: bool) {
        if on {
            self.0 |= REMOTE_IRR;
        } else {
            self.0 &= !REMOTE_IRR;
        }
    }

    /// The message it sends; `None` for delivery modes that do not exist.
    pub(super) const fn message(self) -> Option<Message> {
        let Some(delivery) = Delivery::decode((self.0 >> 8) as u8, self.vector()) else { return None };
        let destination = Destination::narrow((self.0 >> 56) as u8, self.0 >> 11 & 1 != 0);
        Some(Message { delivery, destination, trigger: self.trigger() })
    }
}

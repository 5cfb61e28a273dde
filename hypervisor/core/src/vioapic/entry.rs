//! One redirection table entry (82093AA datasheet, 3.2.4).

use bitflags::bitflags;

use crate::acpi::{Polarity, Trigger};
use crate::vlapic::{Delivery, Destination, Message};

bitflags! {
    /// The entry's 64 bits. The delivery status is always idle.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Entry: u64 {
        const LOGICAL = 1 << 11;
        const ACTIVE_LOW = 1 << 13;
        const REMOTE_IRR = 1 << 14;
        const LEVEL = 1 << 15;
        const MASKED = 1 << 16;
        /// Vector, delivery and destination mode, polarity, trigger, mask, destination.
        const WRITABLE = 0xff00_0000_0001_afff;
    }
}

impl Entry {
    pub(super) const fn half(self, high: bool) -> u32 {
        (self.bits() >> if high { 32 } else { 0 }) as u32
    }

    /// Writes one half; remote IRR stays, but an edge entry has none.
    pub(super) fn set_half(&mut self, high: bool, value: u32) {
        let shift = if high { 32 } else { 0 };
        let new = self.bits() & !(0xffff_ffff << shift) | u64::from(value) << shift;
        let kept = if new & Self::LEVEL.bits() != 0 { *self & Self::REMOTE_IRR } else { Self::empty() };
        *self = Self::from_bits_retain(new) & Self::WRITABLE | kept;
    }

    pub(super) const fn vector(self) -> u8 {
        self.bits() as u8
    }

    pub(super) const fn trigger(self) -> Trigger {
        if self.contains(Self::LEVEL) { Trigger::Level } else { Trigger::Edge }
    }

    pub(super) const fn polarity(self) -> Polarity {
        if self.contains(Self::ACTIVE_LOW) { Polarity::Low } else { Polarity::High }
    }

    /// The message it sends; `None` for delivery modes that do not exist.
    pub(super) fn message(self) -> Option<Message> {
        let delivery = Delivery::decode((self.bits() >> 8) as u8, self.vector())?;
        let destination = Destination::narrow((self.bits() >> 56) as u8, self.contains(Self::LOGICAL));
        Some(Message { delivery, destination, trigger: self.trigger() })
    }
}

//! Domain 0's view of an I/O APIC: the registers of the real one, none of its wires.
//!
//! The real pin's interrupt goes to a vector and a CPU of Tenon's choice; [`assert`](VirtualIoApic::assert) turns
//! it into the message that the guest configured. A level-triggered pin stays masked in the hardware from then
//! until the guest ends the interrupt; a line that is still active then, as one shared by several devices may
//! be, interrupts again by itself.
//!
//! The kernel keeps each instance behind a lock of its own.

use alloc::vec::Vec;

use crate::acpi::{Polarity, Trigger};
use crate::ids::Vector;
use crate::vlapic::Message;

mod entry;
#[cfg(test)]
mod tests;

use entry::Entry;

/// Bytes of the register window.
pub const WINDOW: u16 = 0x1000;

const SELECT: u16 = 0x00;
const DATA: u16 = 0x10;
const EOI: u16 = 0x40;

const ID: u8 = 0;
const VERSION: u8 = 1;
const ARBITRATION: u8 = 2;
const TABLE: u8 = 0x10;
/// A version with an EOI register.
const VERSION_NUMBER: u32 = 0x20;
/// The index register reaches no more.
const MAX_PINS: usize = 120;

/// How the guest wants a pin; the kernel programs the real pin's trigger, polarity and mask after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Global system interrupt of the pin.
    pub gsi: u32,
    /// What the guest gets; `None` if its delivery mode does not exist, and then nothing is delivered.
    pub message: Option<Message>,
    /// Edge or level.
    pub trigger: Trigger,
    /// Active high or low.
    pub polarity: Polarity,
    /// Masked by the guest, or by Tenon until the guest ends a level-triggered interrupt.
    pub masked: bool,
}

/// What a register write asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Nothing.
    None,
    /// A pin's configuration changed. `deliver` was held back by the mask until now.
    Route {
        /// The pin as it is now.
        route: Route,
        /// To deliver after the route is in place.
        deliver: Option<Message>,
    },
    /// The EOI register was written: call [`VirtualIoApic::end`] on this I/O APIC.
    Eoi(Vector),
}

#[derive(Clone, Copy, Debug)]
struct Pin {
    entry: Entry,
    /// A level-triggered interrupt arrived and the guest has not ended it.
    active: bool,
    /// The vector that was sent last. The guest may change the entry's before it ends the interrupt.
    sent: u8,
}

/// One virtual I/O APIC.
#[derive(Clone, Debug)]
pub struct VirtualIoApic {
    id: u8,
    first_gsi: u32,
    select: u8,
    pins: Vec<Pin>,
}

impl VirtualIoApic {
    /// The counterpart of the real I/O APIC with this id, first GSI and number of pins; every pin masked.
    pub fn new(id: u8, first_gsi: u32, pins: usize) -> Self {
        let pin = Pin { entry: Entry::MASKED, active: false, sent: 0 };
        Self { id, first_gsi, select: 0, pins: alloc::vec![pin; pins.clamp(1, MAX_PINS)] }
    }

    /// Whether `gsi` is one of its pins.
    pub fn owns(&self, gsi: u32) -> bool {
        self.pin(gsi).is_some()
    }

    /// Reads the 32-bit register at `offset` of the window; 0 where there is none.
    pub fn read(&self, offset: u16) -> u32 {
        match offset {
            SELECT => u32::from(self.select),
            DATA => match self.select {
                ID | ARBITRATION => u32::from(self.id) << 24,
                VERSION => VERSION_NUMBER | (self.pins.len() as u32 - 1) << 16,
                _ => self.selected().map_or(0, |(pin, high)| self.pins[pin].entry.half(high)),
            },
            _ => 0,
        }
    }

    /// Writes the 32-bit register at `offset` of the window.
    pub fn write(&mut self, offset: u16, value: u32) -> Effect {
        match (offset, self.select) {
            (SELECT, _) => self.select = value as u8,
            (DATA, ID) => self.id = (value >> 24) as u8 & 0xf,
            (DATA, _) => {
                let Some((index, high)) = self.selected() else { return Effect::None };
                let pin = &mut self.pins[index];
                pin.entry.set_half(high, value);
                if pin.entry.trigger() == Trigger::Edge {
                    pin.active = false;
                }
                let deliver = pin.deliver();
                return Effect::Route { route: self.route_of(index), deliver };
            }
            (EOI, _) => return Effect::Eoi(Vector(value as u8)),
            _ => {}
        }
        Effect::None
    }

    /// The real pin interrupted. Returns the message for the guest, unless it masked the pin. Afterwards a
    /// level-triggered pin's [`route`](Self::route) is masked, and the kernel masks the real one.
    pub fn assert(&mut self, gsi: u32) -> Option<Message> {
        let index = self.pin(gsi)?;
        let pin = &mut self.pins[index];
        match pin.entry.trigger() {
            Trigger::Level => {
                pin.active = true;
                pin.deliver()
            }
            Trigger::Edge if pin.entry.contains(Entry::MASKED) => None,
            Trigger::Edge => pin.entry.message(),
        }
    }

    /// The guest ended `vector`. `reopen` gets the route of each pin whose level-triggered interrupt that was;
    /// the kernel unmasks the real pin if the route says so.
    pub fn end(&mut self, vector: Vector, mut reopen: impl FnMut(Route)) {
        for index in 0..self.pins.len() {
            let pin = &mut self.pins[index];
            if pin.entry.contains(Entry::REMOTE_IRR)
                && (pin.sent == vector.0 || pin.entry.vector() == vector.0)
            {
                pin.entry.remove(Entry::REMOTE_IRR);
                pin.active = false;
                reopen(self.route_of(index));
            }
        }
    }

    /// How the pin stands.
    pub fn route(&self, gsi: u32) -> Option<Route> {
        self.pin(gsi).map(|index| self.route_of(index))
    }

    /// How all pins stand.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        (0..self.pins.len()).map(|index| self.route_of(index))
    }

    fn route_of(&self, index: usize) -> Route {
        let Pin { entry, active, .. } = self.pins[index];
        Route {
            gsi: self.first_gsi + index as u32,
            message: entry.message(),
            trigger: entry.trigger(),
            polarity: entry.polarity(),
            masked: active || entry.intersects(Entry::MASKED | Entry::REMOTE_IRR),
        }
    }

    fn pin(&self, gsi: u32) -> Option<usize> {
        let index = gsi.checked_sub(self.first_gsi)? as usize;
        (index < self.pins.len()).then_some(index)
    }

    /// The pin, and which half of its entry, that the index register names.
    fn selected(&self) -> Option<(usize, bool)> {
        let index = usize::from(self.select.checked_sub(TABLE)?);
        (index / 2 < self.pins.len()).then_some((index / 2, index & 1 != 0))
    }
}

impl Pin {
    /// The message of an active level-triggered pin, once.
    fn deliver(&mut self) -> Option<Message> {
        if !self.active || self.entry.intersects(Entry::MASKED | Entry::REMOTE_IRR) {
            return None;
        }
        let message = self.entry.message()?;
        self.entry.insert(Entry::REMOTE_IRR);
        self.sent = self.entry.vector();
        Some(message)
    }
}

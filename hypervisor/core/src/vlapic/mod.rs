//! The local APIC of a vCPU, as state that only its owner touches.
//!
//! The owner is the CPU that runs the vCPU (or holds it stopped); no lock is needed. Everybody else posts to the
//! vCPU's [`PostedInterrupts`] and matches against its [`IdentityCell`].
//!
//! A vector goes from requested (`accept`) to in service (`ack`) and out (EOI); level-triggered ones come back
//! from the EOI for the IO-APICs. Priorities are those of SDM vol. 3, 10.8.3.

use crate::acpi::Trigger;
use crate::ids::{VcpuId, Vector};

mod base;
mod identity;
mod lvt;
mod message;
mod posted;
mod registers;
#[cfg(all(test, not(loom)))]
mod tests;
mod timer;
mod vectors;

pub use base::{APIC_BASE_MSR, APIC_PAGE};
pub use identity::{Destination, Identity, IdentityCell, Mode, apic_id};
pub use message::{Delivery, Ipi, Message, Target};
pub use posted::{Drained, PostedInterrupts};
pub use registers::{TSC_DEADLINE_MSR, X2APIC_MSRS, X2APIC_MSRS_LAST};
pub use timer::{BUS_TICK_NS, Clock, Deadline, MIN_PERIOD_NS};
pub use vectors::VectorSet;

/// What a register write asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Nothing.
    None,
    /// Deliver this message.
    Ipi(Ipi),
    /// A level-triggered interrupt ended: tell the IO-APICs.
    Eoi(Vector),
    /// The timer was reprogrammed: call [`Vlapic::poll_timer`] and arm what it returns.
    Timer,
    /// The mode or the logical id changed: publish [`Vlapic::identity`] and look at the timer.
    Identity,
}

/// One vCPU's local APIC.
#[derive(Clone, Debug)]
pub struct Vlapic {
    identity: Identity,
    tpr: u8,
    spurious: u32,
    errors_shown: u32,
    errors_seen: u32,
    icr: u64,
    lvt: lvt::Table,
    timer: timer::Timer,
    requested: VectorSet,
    in_service: VectorSet,
    trigger_level: VectorSet,
}

impl Vlapic {
    /// The APIC of `vcpu` after power-on: xAPIC mode, software-disabled. vCPU 0 is the bootstrap processor.
    pub const fn new(vcpu: VcpuId) -> Self {
        Self {
            identity: Identity { id: apic_id(vcpu), mode: Mode::XApic, logical: 0, flat: true },
            tpr: 0,
            spurious: 0xff,
            errors_shown: 0,
            errors_seen: 0,
            icr: 0,
            lvt: lvt::Table::new(),
            timer: timer::Timer::new(),
            requested: VectorSet::from_words([0; 4]),
            in_service: VectorSet::from_words([0; 4]),
            trigger_level: VectorSet::from_words([0; 4]),
        }
    }

    /// Back to the state after power-on, which is also that after INIT except that INIT keeps the mode.
    fn reset(&mut self) {
        *self = Self::new(VcpuId(self.identity.id / 2));
    }

    /// What INIT does: registers back to power-on, id and mode kept (SDM vol. 3, 10.4.7.3 and 10.12.5.1).
    pub fn init(&mut self) {
        let mode = self.identity.mode;
        self.reset();
        self.identity.mode = mode;
    }

    /// Who this APIC is to senders.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the spurious-vector register has the APIC switched on.
    pub const fn is_software_enabled(&self) -> bool {
        self.spurious >> 8 & 1 != 0
    }

    /// Requests `vector`. True if it was not requested already; false also while the APIC is switched off.
    pub fn accept(&mut self, vector: Vector, trigger: Trigger) -> bool {
        if self.identity.mode == Mode::Disabled || !self.is_software_enabled() {
            return false;
        }
        if vector.0 < 16 {
            self.error(registers::ESR_RECEIVED_ILLEGAL_VECTOR);
            return false;
        }
        match trigger {
            Trigger::Level => self.trigger_level.insert(vector),
            Trigger::Edge => self.trigger_level.remove(vector),
        };
        self.requested.insert(vector)
    }

    /// Takes over what others posted.
    pub fn accept_posted(&mut self, posted: &PostedInterrupts) {
        let Some(Drained { mut vectors, level }) = posted.drain() else { return };
        if self.identity.mode == Mode::Disabled || !self.is_software_enabled() {
            return;
        }
        let illegal = VectorSet::from_words([0xffff, 0, 0, 0]);
        let legal = vectors;
        vectors.subtract(&illegal);
        if legal != vectors {
            self.error(registers::ESR_RECEIVED_ILLEGAL_VECTOR);
        }
        self.trigger_level.subtract(&vectors);
        self.trigger_level.union(&level);
        self.trigger_level.subtract(&illegal);
        self.requested.union(&vectors);
    }

    /// The highest vector in service.
    pub fn highest_in_service(&self) -> Option<Vector> {
        self.in_service.highest()
    }

    /// The highest requested vector, whatever the priorities say: what a TPR write could release.
    pub fn highest_requested(&self) -> Option<Vector> {
        self.requested.highest()
    }

    /// The vector to inject now, if one outranks the processor's priority.
    pub fn next_interrupt(&self) -> Option<Vector> {
        self.requested.highest().filter(|vector| vector.0 >> 4 > self.processor_priority() >> 4)
    }

    /// The guest took `vector`: it is in service now.
    pub const fn ack(&mut self, vector: Vector) {
        if self.requested.remove(vector) {
            self.in_service.insert(vector);
        }
    }

    /// Ends the highest interrupt in service; returns it if it was level-triggered.
    pub fn end_of_interrupt(&mut self) -> Option<Vector> {
        let vector = self.in_service.highest()?;
        self.in_service.remove(vector);
        self.trigger_level.contains(vector).then_some(vector)
    }

    /// The processor priority register. Also what lowest-priority delivery compares.
    pub fn processor_priority(&self) -> u8 {
        let served = self.in_service.highest().map_or(0, |vector| vector.0 & 0xf0);
        if self.tpr >> 4 >= served >> 4 { self.tpr } else { served }
    }

    /// The task priority as CR8 shows it (0 to 15).
    pub const fn cr8(&self) -> u8 {
        self.tpr >> 4
    }

    /// Writes the task priority through CR8. Bits above the low four are the caller's #GP.
    pub const fn set_cr8(&mut self, cr8: u8) {
        self.tpr = cr8 << 4;
    }

    /// Fires the timer if it is due; returns when to look again.
    pub fn poll_timer(&mut self, clock: &impl Clock) -> Option<Deadline> {
        if self.timer.expire(clock) {
            self.raise(lvt::TIMER);
        }
        self.timer.deadline()
    }

    /// Records an error and raises the error interrupt, if the guest wants it.
    fn error(&mut self, bit: u32) {
        if self.errors_seen & bit == 0 {
            self.errors_seen |= bit;
            self.raise(lvt::ERROR);
        }
    }

    fn raise(&mut self, entry: u8) {
        let Some(value) = self.lvt.get(entry) else { return };
        // An illegal vector in the error entry itself must not raise another error.
        if value & lvt::MASKED == 0 && (value as u8 >= 16 || entry != lvt::ERROR) {
            self.accept(Vector(value as u8), Trigger::Edge);
        }
    }
}

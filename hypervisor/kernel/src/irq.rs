//! Interrupts: who handles which vector, and when they are taken.
//!
//! The hypervisor runs with interrupts off. They are taken in [`window`] (after a VM exit) and in [`wait`] (idle),
//! where no lock is held; handlers therefore may take locks, and nothing else needs to care about them.
//!
//! Vectors are the same on every CPU. From 0xf0 up they are Tenon's own; [`allocate`] gives out the others.

use tenon_core::ids::Vector;
use tenon_core::sync::{Class, RwLock};
use x86_64::instructions::interrupts;

use crate::apic::local;
use crate::cpu::features;
use crate::watchdog;

/// What is called when a vector arrives. The end-of-interrupt follows when it returns.
pub type Handler = fn(Vector);

/// The local APIC timer.
pub const TIMER: Vector = Vector(0xf0);
/// "Look at your work": what a CPU sends another to get it out of idle or of a guest.
pub const KICK: Vector = Vector(0xf1);
/// The local APIC's error interrupt.
pub const APIC_ERROR: Vector = Vector(0xfe);
/// The local APIC's spurious interrupt: no end-of-interrupt for it.
pub const SPURIOUS: Vector = Vector(0xff);

/// Vectors below are exceptions, and those that the masked 8259s may still spuriously raise.
const FIRST: usize = 0x30;
const LAST: usize = 0xef;

static HANDLERS: RwLock<[Option<Handler>; 256]> = RwLock::new(Class::Handlers, [None; 256]);

/// Sets the handler of one of Tenon's own vectors.
pub fn register(vector: Vector, handler: Handler) {
    HANDLERS.write()[usize::from(vector.0)] = Some(handler);
}

/// Takes a free vector for `handler`; `None` if all are in use.
///
/// The search starts high: a vector's upper half is its priority, and devices before others is as good as any order.
#[must_use]
pub fn allocate(handler: Handler) -> Option<Vector> {
    let mut handlers = HANDLERS.write();
    let free = (FIRST..=LAST).rev().find(|vector| handlers[*vector].is_none())?;
    handlers[free] = Some(handler);
    Some(Vector(free as u8))
}

/// Gives back what [`allocate`] gave. Its source is silent by now; a late arrival is ignored.
pub fn free(vector: Vector) {
    if (FIRST..=LAST).contains(&usize::from(vector.0)) {
        HANDLERS.write()[usize::from(vector.0)] = None;
    }
}

/// Lets pending interrupts in. No lock may be held.
#[inline]
pub fn window() {
    interrupts::enable();
    // The instruction after STI still runs with interrupts off.
    x86_64::instructions::nop();
    interrupts::disable();
}

/// Sleeps until an interrupt has been taken. No lock may be held.
///
/// A wake-up that arrives after the caller's last look at its work and before this is not lost: interrupts are off
/// until the CPU halts.
#[inline]
pub fn wait() {
    // No handler runs. One left in service would keep every later one of its priority from waking this CPU.
    if local::end_what_is_in_service() {
        log::error!("an interrupt was in service on an idle CPU: ended");
    }
    if features().forgets_interrupts {
        local::remind();
    }
    interrupts::enable_and_hlt();
    interrupts::disable();
}

/// Calls the handler of an interrupt that arrived.
pub fn dispatch(vector: Vector) {
    if vector == SPURIOUS || usize::from(vector.0) < FIRST {
        return;
    }
    watchdog::awake();
    let handler = HANDLERS.read()[usize::from(vector.0)];
    match handler {
        Some(handler) => handler(vector),
        None => log::debug!("{vector} arrived with nobody to take it"),
    }
    local::end_of_interrupt();
}

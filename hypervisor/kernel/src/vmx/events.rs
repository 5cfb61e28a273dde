//! What an entry delivers to the guest, as VT-x encodes it (SDM volume 3, 25.8.3), and what an exit interrupted.

#![allow(unsafe_code, reason = "writes what an entry delivers")]

use tenon_core::guest_cpu::Event;
use x86_64::registers::rflags::RFlags;

use super::fields::{Field, Interruptibility, Primary};
use super::vmcs::Current;

pub const VALID: u32 = 1 << 31;
const HAS_ERROR: u32 = 1 << 11;
const TYPE: u32 = 7 << 8;
const INTERRUPT: u32 = 0 << 8;
pub const NMI: u32 = 2 << 8;
const EXCEPTION: u32 = 3 << 8;
const NMI_VECTOR: u32 = 2;
/// The bits that an entry takes of what an exit tells.
const KEPT: u32 = VALID | HAS_ERROR | TYPE | VECTOR;
pub const VECTOR: u32 = 0xff;

/// An event in the hardware's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    pub info: u32,
    pub error: u32,
}

/// What was being delivered when the exit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// An external interrupt.
    Interrupt(u8),
    /// A non-maskable one.
    Nmi(Injection),
    /// An exception.
    Exception(Injection),
    /// A software interrupt or exception: its instruction runs again.
    Software,
}

impl Injection {
    pub const NMI: Self = Self { info: VALID | NMI | NMI_VECTOR, error: 0 };

    pub fn interrupt(vector: u8) -> Self {
        Self { info: VALID | INTERRUPT | u32::from(vector), error: 0 }
    }

    /// Without protected mode, no exception has an error code.
    pub fn exception(vector: u8, error: Option<u32>, protected: bool) -> Self {
        let info = VALID | EXCEPTION | u32::from(vector);
        match error.filter(|_| protected) {
            Some(error) => Self { info: info | HAS_ERROR, error },
            None => Self { info, error: 0 },
        }
    }

    pub fn has_error(self) -> bool {
        self.info & HAS_ERROR != 0
    }
}

impl Interrupted {
    /// From a valid IDT-vectoring information field, and the error code where there is one.
    pub fn decode(info: u32, error: impl FnOnce() -> u32) -> Self {
        let info = info & KEPT;
        let error = if info & HAS_ERROR != 0 { error() } else { 0 };
        match info & TYPE {
            INTERRUPT => Self::Interrupt((info & VECTOR) as u8),
            NMI => Self::Nmi(Injection { info, error }),
            EXCEPTION => Self::Exception(Injection { info, error }),
            _ => Self::Software,
        }
    }
}

/// What waits to be delivered to one vCPU, and what is in its way.
#[derive(Debug)]
pub struct Pending {
    /// An exception or NMI, for the next entry.
    event: Option<Injection>,
    /// The vector of an external interrupt that the guest has not taken yet.
    interrupt: Option<u8>,
    /// The core has asked for an exit when the guest can take an interrupt.
    window: bool,
    /// The end of an NMI's handling exits: another may wait for it.
    nmi_window: bool,
    /// What keeps events out.
    state: Interruptibility,
    /// The same as the VMCS has it.
    state_written: Interruptibility,
    /// The primary controls without windows, and as the VMCS has them.
    controls: Primary,
    controls_written: Primary,
}

impl Pending {
    pub const fn new(controls: Primary) -> Self {
        let state = Interruptibility::empty();
        Self {
            event: None,
            interrupt: None,
            window: false,
            nmi_window: false,
            state,
            state_written: state,
            controls,
            controls_written: controls,
        }
    }

    /// Writes what the coming entry delivers. One event at a time: an interrupt waits for the next exit if something goes
    /// first, or until the guest lets it in.
    #[inline]
    pub fn offer(&mut self, vmcs: &Current<'_>, rflags: u64) {
        if let Some(event) = self.event.take() {
            deliver(vmcs, event);
        } else if let Some(vector) = self.interrupt
            && self.is_open(rflags)
        {
            deliver(vmcs, Injection::interrupt(vector));
            self.interrupt = None;
        }
        let mut controls = self.controls;
        controls.set(Primary::INTERRUPT_WINDOW_EXITING, self.window || self.interrupt.is_some());
        controls.set(Primary::NMI_WINDOW_EXITING, self.nmi_window);
        if controls != self.controls_written {
            self.controls_written = controls;
            // SAFETY: only exits are added to what confines the guest.
            unsafe { vmcs.write(Field::PrimaryControls, controls.bits().into()) };
        }
        if self.state != self.state_written {
            self.state_written = self.state;
            // SAFETY: it delays events for the guest, or no longer.
            unsafe { vmcs.write(Field::GuestInterruptibility, self.state.bits().into()) };
        }
    }

    /// Takes in what the exit says: what is in the way now, and an event whose delivery it interrupted, which the next
    /// entry repeats.
    #[inline]
    pub fn take_in(&mut self, vmcs: &Current<'_>) {
        self.state = Interruptibility::from_bits_retain(vmcs.read(Field::GuestInterruptibility) as u32);
        self.state_written = self.state;
        let info = vmcs.read(Field::InterruptedEvent) as u32;
        if info & VALID != 0 {
            self.keep(vmcs, info);
        }
    }

    #[cold]
    fn keep(&mut self, vmcs: &Current<'_>, info: u32) {
        match Interrupted::decode(info, || vmcs.read(Field::InterruptedEventError) as u32) {
            Interrupted::Interrupt(vector) => self.interrupt = Some(vector),
            Interrupted::Nmi(event) => {
                // The guest has not seen it.
                self.state.remove(Interruptibility::BLOCKED_BY_NMI);
                self.event = Some(event);
            }
            Interrupted::Exception(event) => self.event = Some(event),
            Interrupted::Software => {}
        }
    }

    /// An IRET has let NMIs in and then met a fault: it runs again, and they stay out until then. `told` is the bit of the
    /// exit's information that says so; if a delivery was interrupted it says nothing.
    pub fn nmi_unblocked(&mut self, told: bool) {
        if told && self.event.is_none() && self.interrupt.is_none() {
            self.state.insert(Interruptibility::BLOCKED_BY_NMI);
        }
    }

    /// The guest has ended its handling of an NMI.
    pub fn nmi_is_over(&mut self) {
        self.nmi_window = false;
    }

    /// The shadow of STI or of a load of SS is over.
    pub fn end_shadow(&mut self) {
        self.state.remove(Interruptibility::SHADOW);
    }

    pub fn inject(&mut self, event: Event, protected: impl FnOnce() -> bool) {
        self.event = Some(match event {
            Event::Interrupt(vector) => {
                self.interrupt = Some(vector.0);
                return;
            }
            Event::Nmi => {
                self.nmi_window = true;
                Injection::NMI
            }
            Event::Exception { vector, error } => Injection::exception(vector, error, protected()),
        });
    }

    pub fn forget(&mut self) {
        self.event = None;
        self.interrupt = None;
        self.window = false;
        self.nmi_window = false;
        self.state = Interruptibility::empty();
    }

    pub fn want_window(&mut self, wanted: bool) {
        self.window = wanted;
    }

    pub fn can_take_interrupt(&self, rflags: u64) -> bool {
        self.interrupt.is_none() && self.event.is_none() && self.is_open(rflags)
    }

    pub fn can_take_nmi(&self) -> bool {
        let closed = Interruptibility::SHADOW | Interruptibility::BLOCKED_BY_NMI;
        self.event.is_none() && !self.state.intersects(closed)
    }

    fn is_open(&self, rflags: u64) -> bool {
        rflags & RFlags::INTERRUPT_FLAG.bits() != 0 && !self.state.intersects(Interruptibility::SHADOW)
    }
}

fn deliver(vmcs: &Current<'_>, event: Injection) {
    // SAFETY: events arrive by the guest's own interrupt descriptor table.
    unsafe {
        vmcs.write(Field::EntryEvent, event.info.into());
        if event.has_error() {
            vmcs.write(Field::EntryEventError, event.error.into());
        }
    }
}

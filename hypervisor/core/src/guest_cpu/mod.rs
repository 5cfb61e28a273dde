//! The seam between what is common and AMD-V or VT-x.
//!
//! A backend gives a [`GuestCpu`]: the state of one vCPU as the hardware keeps it, and the way into the guest.
//! Everything above sees registers, [`Exit`]s and [`Event`]s, never a VMCB or VMCS. Only what *every* backend
//! must have is here; optional features stay inside the backend.
//!
//! A `GuestCpu` is owned by its vCPU's context lock, which the CPU that runs the vCPU holds.

pub mod bits;
mod check;
mod exit;
mod regs;

pub use check::ImpossibleState;
pub use exit::{Event, Exit, IoAccess, NestedFault};
pub use regs::{ControlRegs, CpuMode, EntryMsrs, Gpr, Gprs, Segment, Segments, SystemState};

use crate::frame::Mfn;

/// One vCPU's hardware state, and the way into the guest.
pub trait GuestCpu: Send {
    /// The general registers, instruction pointer and flags, as of the last exit.
    fn gprs(&self) -> &Gprs;

    /// The same, to change before the next entry.
    fn gprs_mut(&mut self) -> &mut Gprs;

    /// Prepares this CPU for running the vCPU: called when it is switched in.
    fn switch_in(&mut self);

    /// Saves what the hardware does not keep in the control structure: called when it is switched out.
    fn switch_out(&mut self);

    /// Enters the guest; returns at its next exit, with host interrupts still off.
    fn enter(&mut self);

    /// What the last exit was. Apart from [`enter`](Self::enter), so that nothing lies between finding that out and acting on it.
    fn exit(&self) -> Exit;

    /// The hardware's own number for the last exit.
    fn exit_code(&self) -> u64;

    /// Whether the guest could take an external interrupt right now and nothing else waits to be injected.
    fn can_take_interrupt(&self) -> bool;

    /// Whether the guest could take an NMI right now and nothing else waits to be injected.
    fn can_take_nmi(&self) -> bool;

    /// Sets the event that the next entry delivers. An interrupt may be set beside an NMI, which goes first.
    fn inject(&mut self, event: Event);

    /// Forgets what waits to be injected and that an NMI is being handled: the vCPU is reset.
    fn forget_events(&mut self);

    /// Asks for [`Exit::InterruptWindow`] as soon as the guest can take an interrupt, or takes that back.
    fn request_interrupt_window(&mut self, wanted: bool);

    /// The length of the instruction that exited, where the hardware tells.
    fn instruction_len(&self) -> Option<u8>;

    /// Moves past the instruction that exited (and out of its interrupt shadow).
    fn skip(&mut self, len: u8);

    /// The control registers, for address translation and mode decisions.
    fn control(&self) -> ControlRegs;

    /// Everything that a reset, a start-up IPI or the control domain sets.
    fn system(&self) -> SystemState;

    /// Replaces it. Control bits that the backend needs are added underneath and never shown.
    fn set_system(&mut self, state: &SystemState);

    /// Sets the guest's XCR0. `false` if it names state that this CPU does not have: the guest gets #GP.
    #[must_use]
    fn set_xcr0(&mut self, value: u64) -> bool;

    /// The guest's XCR0; exact while the vCPU is switched in.
    fn xcr0(&self) -> u64;

    /// What the guest's TSC is ahead of this CPU's own, modulo 2^64.
    fn set_tsc_offset(&mut self, offset: u64);

    /// Forgets every cached translation of the guest before the next entry.
    fn flush_tlb(&mut self);

    /// The three bytes of the instruction by which the guest calls the hypervisor.
    fn hypercall_instruction(&self) -> [u8; 3];

    /// The root of the nested page table.
    fn set_nested_root(&mut self, root: Mfn);

    /// Lets the vCPU use every I/O port but those that the platform virtualizes.
    fn allow_hardware_ports(&mut self);
}

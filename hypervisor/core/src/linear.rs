//! Guest memory by linear address: translation through the guest's own page tables, then copies.
//!
//! Used with the rights of supervisor code: hypercalls come from ring 0, and emulated instructions on device
//! registers come from kernels.

use crate::domain::{Context, MemoryFault, VcpuRef, VcpuView};
use crate::frame::{Gaddr, PAGE_SIZE};
use crate::guest_cpu::{Event, GuestCpu};
use crate::machine::Machine;
use crate::refusals;
use crate::walk::{self, Access};

refusals! {
    /// Why linear memory could not be reached.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// The guest's page tables say no.
        Walk { at: u64, fault: walk::Fault } => EFAULT, "linear address {at:#x}: {fault}";
    }
    passes on {
        /// They lead to where no memory is.
        Memory(MemoryFault);
    }
}

/// Where a linear address leads, for that kind of access by the guest's kernel.
///
/// # Errors
/// The guest's page tables say no.
pub fn translate<M: Machine>(
    vcpu: &VcpuRef<M>,
    context: &Context<M>,
    at: u64,
    access: Access,
) -> Result<Gaddr, Fault> {
    walk(&view(vcpu, context), context, at, access)
}

#[inline]
fn view<'a, M: Machine>(vcpu: &'a VcpuRef<M>, context: &'a Context<M>) -> VcpuView<'a, M> {
    vcpu.domain().memory.vcpu_view(&context.nested_tlb)
}

/// Not inlined: with the walk inlined here, the copies around it stay short.
#[inline(never)]
fn walk<M: Machine>(
    memory: &VcpuView<'_, M>,
    context: &Context<M>,
    at: u64,
    access: Access,
) -> Result<Gaddr, Fault> {
    let control = context.guest.control();
    control.translate(memory, at, access).map_err(|fault| Fault::Walk { at, fault })
}

/// How much of `len` bytes from a linear address on is in the same page.
#[inline]
fn in_page(at: u64, len: usize) -> usize {
    len.min(PAGE_SIZE - (at as usize & (PAGE_SIZE - 1)))
}

/// Copies linear memory out, as a read or to execute it.
///
/// # Errors
/// Part of it cannot be read; `into` may be partly filled then.
pub fn read<M: Machine>(
    vcpu: &VcpuRef<M>,
    context: &Context<M>,
    at: u64,
    into: &mut [u8],
    access: Access,
) -> Result<(), Fault> {
    let memory = view(vcpu, context);
    let (mut at, mut rest) = (at, into);
    while !rest.is_empty() {
        let len = in_page(at, rest.len());
        let (piece, next) = rest.split_at_mut(len);
        let physical = walk(&memory, context, at, access)?;
        memory.read(physical, piece)?;
        rest = next;
        at = at.wrapping_add(len as u64);
    }
    Ok(())
}

/// Copies into linear memory.
///
/// # Errors
/// Part of it cannot be written; what comes before that may have been.
pub fn write<M: Machine>(vcpu: &VcpuRef<M>, context: &Context<M>, at: u64, from: &[u8]) -> Result<(), Fault> {
    let memory = view(vcpu, context);
    let (mut at, mut rest) = (at, from);
    while !rest.is_empty() {
        let len = in_page(at, rest.len());
        let (piece, next) = rest.split_at(len);
        let physical = walk(&memory, context, at, Access::Write)?;
        memory.write(physical, piece)?;
        rest = next;
        at = at.wrapping_add(len as u64);
    }
    Ok(())
}

/// Gives the guest the exception that the access would have raised.
pub fn inject<M: Machine>(context: &mut Context<M>, fault: &Fault) {
    match *fault {
        Fault::Walk { at, fault: walk::Fault::Page(code) } => {
            let mut system = context.guest.system();
            system.cr2 = at;
            context.guest.set_system(&system);
            context.guest.inject(Event::Exception { vector: 14, error: Some(code) });
        }
        Fault::Walk { .. } | Fault::Memory(_) => context.guest.inject(Event::GENERAL_PROTECTION),
    }
}

//! What a VM exit means to the guest.
//!
//! [`handle`] is one step after [`run`](crate::run::run): it dispatches on the common [`Exit`], whatever the backend.

mod counts;
mod cpuid;
mod fault;
mod io;
mod lengths;
mod msr;
mod task_priority;

use core::fmt::Arguments;

use hypercall_abi::tenon::ExitKind;

pub use counts::ExitCounts;
pub use lengths::Lengths;
pub use msr::MsrStore;

use crate::domain::{Context, VcpuRef};
use crate::emulate::{self, Exiting};
use crate::guest_cpu::{ControlRegs, Event, Exit, Gpr, Gprs, GuestCpu};
use crate::hypercall;
use crate::hypervisor::Hypervisor;
use crate::machine::Machine;
use crate::time::Nanos;
use crate::vlapic::Clock;

/// Matches on an exit and counts it. Each arm counts its own kind, which takes about six instructions. Once for all
/// arms, before the match, took thirty: only with nothing between leads the compiler from the backend's exit code
/// straight to the arm.
macro_rules! counted {
    ($counts:ident, $exit:ident; $($pattern:pat, $kind:ident => $handler:expr;)*) => {
        match $exit {
            $($pattern => {
                $counts.count(ExitKind::$kind);
                $handler
            })*
        }
    };
}

/// Counts an exit and handles it. Afterwards the guest is ready to go on, or something says why not.
#[inline]
pub fn handle<M: Machine>(
    hv: &Hypervisor<M>,
    vcpu: &VcpuRef<M>,
    counts: &ExitCounts,
    context: &mut Context<M>,
) {
    let exit = context.guest.exit();
    counted! { counts, exit;
        Exit::Hypercall, Hypercall => hypercall::handle(hv, vcpu, context);
        Exit::Interrupt | Exit::Nmi, Interrupt => {
            hv.machine.take_interrupts();
            // It may have been the timer, which is then no longer set.
            crate::interrupt::check_timers(hv, vcpu, context);
        };
        Exit::Cpuid, Cpuid => cpuid::handle(vcpu, context);
        Exit::MsrRead, MsrRead => msr::read(hv, vcpu, context);
        Exit::MsrWrite, MsrWrite => msr::write(hv, vcpu, context);
        Exit::TaskPriorityRead, ControlRegister => task_priority::read(hv, vcpu, context);
        Exit::TaskPriorityWrite, ControlRegister => task_priority::write(hv, vcpu, context);
        Exit::ControlRegister, ControlRegister => ();
        Exit::NestedFault(fault), Memory => fault::handle(hv, vcpu, context, &fault);
        Exit::Io(access), Io => io::handle(hv, vcpu, context, &access);
        Exit::Halt, Halt => halt(hv, vcpu, context);
        Exit::InterruptWindow, InterruptWindow => context.irq_check = true;
        Exit::Pause, Pause => hv.sched.yield_now(vcpu);
        Exit::Xsetbv, ControlRegister => xsetbv(vcpu, context);
        Exit::CacheFlush, Other => skip(vcpu, context, Exiting::Wbinvd);
        Exit::Undefined, Exception => context.guest.inject(Event::UNDEFINED);
        Exit::Reflect(event), Exception => context.guest.inject(event);
        Exit::MachineCheck, Exception => crash(hv, vcpu, context, format_args!("machine check of the host"));
        Exit::Shutdown, Other => crash(hv, vcpu, context, format_args!("triple fault"));
        Exit::InvalidState(code), Other => {
            crash(hv, vcpu, context, format_args!("the CPU refused its state (code {code:#x})"));
        };
        Exit::Unknown(code), Other => crash(hv, vcpu, context, format_args!("unknown VM exit {code:#x}"));
    }
}

/// Moves past the instruction that exited. `expected` says what it was, for CPUs that do not tell its length.
#[inline]
pub(crate) fn skip<M: Machine>(vcpu: &VcpuRef<M>, context: &mut Context<M>, expected: Exiting) {
    let known = || context.lengths.get(context.guest.gprs().rip, expected);
    let len = match context.guest.instruction_len().or_else(known) {
        Some(len) => len,
        None => length(vcpu, context, expected),
    };
    context.guest.skip(len);
}

/// The length of the instruction at the guest's rip, read from memory and remembered.
#[cold]
fn length<M: Machine>(vcpu: &VcpuRef<M>, context: &mut Context<M>, expected: Exiting) -> u8 {
    // Nearly always the instruction has no prefix, and then its length is known; but a guest may put one there.
    let usual = match expected {
        Exiting::Vmmcall | Exiting::Xsetbv => 3,
        Exiting::Hlt => 1,
        _ => 2,
    };
    let mut buffer = [0; 15];
    let bytes = fault::fetch(vcpu, context, &mut buffer);
    let len = emulate::length_of(expected, bytes, context.guest.control().mode).unwrap_or(usual);
    context.lengths.put(context.guest.gprs().rip, expected, len);
    len
}

/// HLT: waits for an interrupt. With interrupts off none will come: the vCPU is down, and when all are, so is the
/// domain.
fn halt<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    const RFLAGS_IF: u64 = 1 << 9;
    skip(vcpu, context, Exiting::Hlt);
    if context.guest.gprs().rflags & RFLAGS_IF == 0 {
        let rip = context.guest.gprs().rip;
        crate::hv_log!(hv, Info, "{vcpu} halted with interrupts off at {rip:#x}: it is down");
        hv.switch_off(vcpu);
        return;
    }
    context.irq_check = true;
    // Nor does it wait if an interrupt is on its way in already.
    if context.guest.can_take_interrupt() {
        vcpu.sched.block();
    }
}

#[inline(never)]
fn xsetbv<M: Machine>(vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let gprs = context.guest.gprs();
    let (index, value) = (gprs.get32(Gpr::Rcx), gprs.edx_eax());
    if context.guest.control().cpl == 0 && index == 0 && context.guest.set_xcr0(value) {
        skip(vcpu, context, Exiting::Xsetbv);
    } else {
        context.guest.inject(Event::GENERAL_PROTECTION);
    }
}

/// Ends the guest, with the reason and the vCPU's state in the log.
#[cold]
fn crash<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &Context<M>, reason: Arguments<'_>) {
    let (gprs, system) = (context.guest.gprs(), context.guest.system());
    let ControlRegs { cr0, cr2, cr3, cr4, efer, cpl, mode } = context.guest.control();
    let (Gprs { rip, rflags, .. }, rsp) = (gprs, gprs.get(Gpr::Rsp));
    crate::hv_log!(
        hv,
        Error,
        "{vcpu} is at rip {rip:#x} ({mode:?}, CPL {cpl}), rsp {rsp:#x}, rflags {rflags:#x}, cr0 {cr0:#x}, \
         cr2 {cr2:#x}, cr3 {cr3:#x}, cr4 {cr4:#x}, efer {efer:#x}"
    );
    crate::hv_log!(hv, Debug, "{vcpu}: {gprs:x?} {system:x?}");
    hv.crash(vcpu, reason);
}

/// The clocks of a vCPU, for its local APIC.
pub struct GuestClock<M: Machine> {
    machine: M,
    tsc_offset: u64,
}

impl<M: Machine> GuestClock<M> {
    /// The clocks of a vCPU whose TSC is ahead of the host's by `tsc_offset`.
    pub fn new(machine: M, tsc_offset: u64) -> Self {
        Self { machine, tsc_offset }
    }

    /// When the guest's TSC has that value.
    pub fn when_tsc_is(&self, guest_tsc: u64) -> Nanos {
        let ahead = guest_tsc.wrapping_sub(self.guest_tsc());
        // The upper half of the range means the past.
        if ahead > u64::MAX / 2 {
            return self.machine.now();
        }
        self.machine.now() + self.machine.tsc_scale().to_ns(ahead) + 1
    }
}

impl<M: Machine> Clock for GuestClock<M> {
    fn nanoseconds(&self) -> u64 {
        self.machine.now().0
    }

    fn guest_tsc(&self) -> u64 {
        self.machine.tsc().0.wrapping_add(self.tsc_offset)
    }
}

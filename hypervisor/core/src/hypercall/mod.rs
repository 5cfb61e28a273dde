//! Hypercalls: what a guest's kernel asks for by VMMCALL or VMCALL.
//!
//! [`handle`] is the one way in. It picks the layout (64-bit or compat) from the guest's mode, so each call is written
//! once, generic over [`Abi`]; arguments are copied in once ([`Call`]), checked, then used. A refusal is a typed error
//! whose text goes to the log and whose number goes to the guest. No call does more than about 100 microseconds of
//! work: what could take longer stops and lets the guest issue the call again ([`Outcome::Again`]).
//!
//! To add a call: a module with a function that takes [`Call`], and a line in `dispatch`.

mod assist;
mod call;
mod command;
mod console;
mod domctl;
mod event;
mod grant;
mod hvm;
pub mod memory;
mod multicall;
pub mod page;
mod physdev;
mod platform;
mod resource;
mod sched;
mod sysctl;
mod vcpu;
mod vcpu_init;
mod version;

pub use call::{Call, Outcome, Refused};
use call::{ensure, refuse};

/// What a hypercall, or a part of one, came to.
type Result<T = Outcome, E = Refused> = core::result::Result<T, E>;

use core::sync::atomic::Ordering;

use hypercall_abi::abi::{Abi, Word, X32, X64};
use hypercall_abi::errno::Errno;
use hypercall_abi::xen as nr;

use crate::domain::{Context, VcpuRef};
use crate::emulate::Exiting;
use crate::exit::skip;
use crate::guest_cpu::{Gpr, GuestCpu};
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::machine::Machine;

/// Handles a hypercall exit.
#[inline]
pub fn handle<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) {
    let is_64_bit = context.is_64_bit();
    let outcome = if context.guest.control().cpl != 0 {
        Outcome::Done(Errno::EPERM.to_result())
    } else if is_64_bit {
        enter::<X64, M>(hv, vcpu, context)
    } else {
        enter::<X32, M>(hv, vcpu, context)
    };
    // After `Again` the guest runs VMMCALL once more, with interrupts taken in between.
    let Outcome::Done(result) = outcome else { return };
    skip(vcpu, context, Exiting::Vmmcall);
    let mask = if is_64_bit { u64::MAX } else { 0xffff_ffff };
    context.guest.gprs_mut().set(Gpr::Rax, result as u64 & mask);
}

#[inline]
fn enter<A: Abi, M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &mut Context<M>) -> Outcome {
    let gprs = context.guest.gprs();
    let number = gprs.get32(Gpr::Rax);
    let args = argument_registers::<A>().map(|reg| A::Ulong::truncated(gprs.get(reg)).get());
    answer::<A, M>(number, &mut Call { hv, vcpu, context, args, nested: false })
}

/// Runs a call. The caller gets the number of a refusal, the log its reason.
#[inline]
fn answer<A: Abi, M: Machine>(number: u32, call: &mut Call<'_, M>) -> Outcome {
    dispatch::<A, M>(number, call).unwrap_or_else(|refused| {
        call.log(format_args!("hypercall {number} refused, {refused:?}"));
        Outcome::Done(refused.errno().to_result())
    })
}

/// Where the arguments are (`public/arch-x86/xen-x86_64.h`, `xen-x86_32.h`).
const fn argument_registers<A: Abi>() -> [Gpr; 6] {
    match A::BITS {
        64 => [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::R10, Gpr::R8, Gpr::R9],
        _ => [Gpr::Rbx, Gpr::Rcx, Gpr::Rdx, Gpr::Rsi, Gpr::Rdi, Gpr::Rbp],
    }
}

fn dispatch<A: Abi, M: Machine>(number: u32, call: &mut Call<'_, M>) -> Result {
    match number {
        nr::HYPERCALL_XEN_VERSION => version::xen_version::<A, M>(call),
        nr::HYPERCALL_EVENT_CHANNEL_OP => event::event_channel_op(call),
        nr::HYPERCALL_SCHED_OP => sched::sched_op::<A, M>(call),
        nr::HYPERCALL_VCPU_OP => vcpu::vcpu_op::<A, M>(call),
        nr::HYPERCALL_HVM_OP => hvm::hvm_op(call),
        nr::HYPERCALL_MEMORY_OP => memory::memory_op::<A, M>(call),
        nr::HYPERCALL_GRANT_TABLE_OP => grant::grant_table_op::<A, M>(call),
        nr::HYPERCALL_CONSOLE_IO => console::console_io::<A, M>(call),
        nr::HYPERCALL_MULTICALL => multicall::multicall::<A, M>(call),
        nr::HYPERCALL_SET_TIMER_OP => assist::set_timer::<A, M>(call),
        nr::HYPERCALL_VM_ASSIST => assist::vm_assist(call),
        nr::HYPERCALL_PHYSDEV_OP => physdev::physdev_op(call),
        nr::HYPERCALL_PLATFORM_OP => platform::platform_op::<A, M>(call),
        nr::HYPERCALL_SYSCTL => sysctl::sysctl(call),
        nr::HYPERCALL_DOMCTL => domctl::domctl(call),
        _ => {
            unknown(call, number);
            Ok(Outcome::Done(Errno::ENOSYS.to_result()))
        }
    }
}

/// Logs the first use of a number that is not known.
fn unknown<M: Machine>(call: &Call<'_, M>, number: u32) {
    let bit = 1u64 << number.min(63);
    let before = call.vcpu.domain().logged_unknown.fetch_or(bit, Ordering::Relaxed);
    if before & bit == 0 {
        hv_log!(call.hv, Info, "{}: unknown hypercall {number}, answered with ENOSYS", call.vcpu);
    }
}

#[cfg(all(any(test, fuzzing), not(loom)))]
#[path = "tests/rig.rs"]
#[allow(missing_docs, reason = "for tests and fuzzers")]
pub mod rig;
#[cfg(all(test, not(loom)))]
mod tests;

//! Hypercalls as tests make them: with any arguments, results as they come.
#![allow(unsafe_code, reason = "hypercalls")]

use hypercall_abi::errno::Errno;
use hypercall_abi::guest::{self, HypercallError, check};
use hypercall_abi::plain::Plain;
use hypercall_abi::xen::*;

/// What a hypercall returned.
pub type Answer = Result<u64, HypercallError>;

/// The refusal that a test expects.
pub const fn refused(errno: Errno) -> Answer {
    Err(HypercallError::Errno(errno))
}

/// Whether a call for a domain that is not there was refused. The control domain is told so; others may also be told
/// that other domains are none of theirs.
#[must_use]
pub fn no_domain(answer: Answer) -> bool {
    answer == refused(Errno::ESRCH) || !crate::boot_info::is_dom0() && answer == refused(Errno::EPERM)
}

/// Any hypercall with any arguments. The caller knows what they do to its memory.
#[inline]
pub fn raw(call: u32, args: [u64; 5]) -> i64 {
    // SAFETY: the page is installed, and tests pass addresses of memory that is meant for it.
    unsafe { guest::hypercall5(call, args[0], args[1], args[2], args[3], args[4]) }
}

/// Any hypercall; its result told from errors.
#[inline]
pub fn any(call: u32, args: &[u64]) -> Answer {
    let mut all = [0; 5];
    all[..args.len()].copy_from_slice(args);
    check(raw(call, all))
}

/// The address of a value, as hypercalls take it.
#[inline]
pub fn address<T>(value: &mut T) -> u64 {
    (&raw mut *value).expose_provenance() as u64
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $call:ident;)*) => {
        $($(#[$doc])*
        pub fn $name<T: Plain>(op: u32, argument: &mut T) -> Answer {
            any($call, &[op.into(), address(argument)])
        })*
    };
}

operations! {
    /// `xen_version`.
    version: HYPERCALL_XEN_VERSION;
    /// `memory_op`.
    memory: HYPERCALL_MEMORY_OP;
    /// `event_channel_op`.
    event: HYPERCALL_EVENT_CHANNEL_OP;
    /// `sched_op`.
    sched: HYPERCALL_SCHED_OP;
    /// `hvm_op`.
    hvm: HYPERCALL_HVM_OP;
    /// `physdev_op`.
    physdev: HYPERCALL_PHYSDEV_OP;
}

/// `vcpu_op` with an argument.
pub fn vcpu<T: Plain>(op: u32, vcpu: u32, argument: &mut T) -> Answer {
    any(HYPERCALL_VCPU_OP, &[op.into(), vcpu.into(), address(argument)])
}

/// `vcpu_op` without an argument.
pub fn vcpu_plain(op: u32, vcpu: u32) -> Answer {
    any(HYPERCALL_VCPU_OP, &[op.into(), vcpu.into(), 0])
}

/// `grant_table_op` on one element.
pub fn grant<T: Plain>(op: u32, argument: &mut T) -> Answer {
    any(HYPERCALL_GRANT_TABLE_OP, &[op.into(), address(argument), 1])
}

/// `grant_table_op` on many.
pub fn grants<T: Plain>(op: u32, arguments: &mut [T]) -> Answer {
    let address = arguments.as_mut_ptr().expose_provenance() as u64;
    any(HYPERCALL_GRANT_TABLE_OP, &[op.into(), address, arguments.len() as u64])
}

/// Sets a parameter of the own domain.
pub fn set_param(index: u32, value: u64) -> Answer {
    let mut param = hypercall_abi::hvm::Param { domid: DOMID_SELF, pad: 0, index, value };
    hvm(hypercall_abi::hvm::OP_SET_PARAM, &mut param)
}

/// Reads a parameter of the own domain.
pub fn get_param(index: u32) -> Answer {
    let mut param = hypercall_abi::hvm::Param { domid: DOMID_SELF, pad: 0, index, value: 0 };
    hvm(hypercall_abi::hvm::OP_GET_PARAM, &mut param).map(|_| param.value)
}

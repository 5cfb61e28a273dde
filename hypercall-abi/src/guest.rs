//! The calls themselves, for code that runs inside a 64-bit guest (feature `guest`).
//!
//! A kernel declares its PVH entry with [`pvh_entry_note!`](crate::pvh_entry_note), finds the hypervisor with
//! [`cpuid_base`], lets it fill the hypercall page with [`install`], and calls. Until then the page holds
//! undefined instructions, so that a call that comes too early faults on the spot.
#![allow(unsafe_code, reason = "hypercalls, CPUID and WRMSR are instructions")]

use core::arch::x86_64::__cpuid;
use core::arch::{asm, global_asm};
use core::fmt;

use crate::arch::{
    CPUID_FIRST_LEAF, CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX, MSR_HYPERCALL,
};
use crate::errno::Errno;
use crate::plain::Plain;

/// Bytes between the page's entries.
const ENTRY_SIZE: usize = 32;

global_asm!(
    ".pushsection .text.hypercall_page, \"ax\", @progbits",
    ".balign 4096",
    ".globl tenon_hypercall_page",
    ".type tenon_hypercall_page, @object",
    "tenon_hypercall_page:",
    ".rept 2048",
    "ud2",
    ".endr",
    ".size tenon_hypercall_page, 4096",
    ".popsection",
);

unsafe extern "C" {
    /// Defined above; code, of which only the address is used.
    static tenon_hypercall_page: [u8; 4096];
}

/// Writes the ELF note that makes a kernel image startable as a PVH guest. The argument is the entry's symbol:
/// 32-bit code at a physical address below 4 GiB.
///
/// ```ignore
/// hypercall_abi::pvh_entry_note!("_start32");
/// ```
#[macro_export]
macro_rules! pvh_entry_note {
    ($entry:literal) => {
        core::arch::global_asm!(
            ".pushsection .note.Xen, \"a\", @note",
            ".balign 4",
            ".long 4",
            ".long 4",
            ".long {kind}",
            ".asciz \"Xen\"",
            concat!(".long ", $entry),
            ".popsection",
            kind = const $crate::elfnote::PHYS32_ENTRY,
        );
    };
}

/// Why a hypercall did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HypercallError {
    /// An error of the interface.
    Errno(Errno),
    /// A negative result that the interface does not define.
    Unknown(i64),
}

impl fmt::Display for HypercallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => f.write_str(errno.what()),
            Self::Unknown(raw) => write!(f, "unknown result {raw}"),
        }
    }
}

/// Tells a result from an error: errors are -4095 to -1.
///
/// # Errors
/// The error that the hypercall returned.
#[inline]
pub fn check(raw: i64) -> Result<u64, HypercallError> {
    match raw {
        -4095..=-1 => Err(i32::try_from(-raw)
            .ok()
            .and_then(Errno::from_raw)
            .map_or(HypercallError::Unknown(raw), HypercallError::Errno)),
        _ => Ok(raw.cast_unsigned()),
    }
}

/// The first of the hypervisor's CPUID leaves, or `None` if there is no Xen interface here.
#[must_use]
pub fn cpuid_base() -> Option<u32> {
    let signature = (CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX);
    (CPUID_FIRST_LEAF..CPUID_FIRST_LEAF + 0x1_0000).step_by(0x100).find(|&base| {
        let leaf = __cpuid(base);
        (leaf.ebx, leaf.ecx, leaf.edx) == signature
    })
}

/// The address of the hypercall page, as linked.
#[must_use]
#[inline]
pub fn hypercall_page() -> usize {
    (&raw const tenon_hypercall_page).addr()
}

/// Asks the hypervisor whose leaves start at `base` to fill the hypercall page, which is mapped from the
/// guest-physical address `paddr`.
///
/// # Safety
/// The caller runs in ring 0 under that hypervisor, and `paddr` is where [`hypercall_page`] is.
pub unsafe fn install(base: u32, paddr: u64) {
    let msr = match __cpuid(base + 2).ebx {
        0 => MSR_HYPERCALL,
        msr => msr,
    };
    // SAFETY: this MSR fills the page at `paddr` with code and does nothing else; that it is the page meant for
    // it is the caller's promise.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") paddr as u32, in("edx") (paddr >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

macro_rules! hypercalls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident in $reg:tt),*);)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// The page was installed, and what the call does to the guest's memory and devices is in order.
            #[inline]
            pub unsafe fn $name(call: u32, $($arg: u64),*) -> i64 {
                let target = hypercall_page() + call as usize % (4096 / ENTRY_SIZE) * ENTRY_SIZE;
                let result: i64;
                // SAFETY: the target is an entry of the installed page; it returns here and changes no registers
                // but those named. What else it does is the caller's promise.
                unsafe {
                    asm!("call {target}", target = in(reg) target, lateout("rax") result,
                         $(inlateout($reg) $arg => _,)* lateout("rcx") _, lateout("r11") _);
                }
                result
            }
        )*
    };
}

hypercalls! {
    /// A hypercall with one argument.
    hypercall1(a1 in "rdi");
    /// A hypercall with two arguments.
    hypercall2(a1 in "rdi", a2 in "rsi");
    /// A hypercall with three arguments.
    hypercall3(a1 in "rdi", a2 in "rsi", a3 in "rdx");
    /// A hypercall with four arguments.
    hypercall4(a1 in "rdi", a2 in "rsi", a3 in "rdx", a4 in "r10");
    /// A hypercall with five arguments.
    hypercall5(a1 in "rdi", a2 in "rsi", a3 in "rdx", a4 in "r10", a5 in "r8");
}

/// A hypercall of the common form: an operation, and a structure for arguments and results.
///
/// # Errors
/// What the hypercall returned.
///
/// # Safety
/// As for [`hypercall2`], and `T` is the operation's structure.
pub unsafe fn operation<T: Plain>(call: u32, op: u32, argument: &mut T) -> Result<u64, HypercallError> {
    // SAFETY: the caller's promise.
    check(unsafe { hypercall2(call, op.into(), (&raw mut *argument).expose_provenance() as u64) })
}

/// A hypercall on an array: an operation, and structures for arguments and results.
///
/// # Errors
/// What the hypercall returned; each element's result is in the element.
///
/// # Safety
/// As for [`hypercall3`], and `T` is the operation's structure.
pub unsafe fn batch<T: Plain>(call: u32, op: u32, arguments: &mut [T]) -> Result<u64, HypercallError> {
    let address = arguments.as_mut_ptr().expose_provenance() as u64;
    // SAFETY: the caller's promise.
    check(unsafe { hypercall3(call, op.into(), address, arguments.len() as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_are_told_apart() {
        assert_eq!(check(0), Ok(0));
        assert_eq!(check(-22), Err(HypercallError::Errno(Errno::EINVAL)));
        assert_eq!(check(-4095), Err(HypercallError::Unknown(-4095)));
        assert_eq!(check(-4096), Ok(0xffff_ffff_ffff_f000));
    }

    #[test]
    fn the_page_is_aligned() {
        assert_eq!(hypercall_page() % 4096, 0);
    }
}

//! What Tenon has beyond Xen's interface.
//!
//! A command of `domctl` under a number that Xen will not use. Xen answers it with ENOSYS, so a tool finds out by
//! asking.

use core::fmt;

use crate::abi::Handle64;
use crate::layout::structs;

/// The command of [`Domctl::cmd`](crate::domctl::Domctl::cmd) that reads a [`VcpuAccount`]. Xen counts its commands
/// from 1; these are the letters "TNN" and a number.
pub const VCPU_ACCOUNT: u32 = 0x544e_4e01;

/// The command that reads [`Holdings`]: what another domain holds of the call's, which may be dead and wait for that.
pub const HOLDINGS: u32 = 0x544e_4e02;
/// [`Holdings::at`] when all has been looked at.
pub const HOLDINGS_END: u64 = u64::MAX;

structs! {
    /// What a domain holds of another one's memory. A call looks at some of it; the numbers of all are to be added.
    struct Holdings = "struct tenon_domctl_holdings" {
        /// In: where to go on, 0 at first; out: where the next call is to go on, or [`HOLDINGS_END`].
        at: u64,
        /// In: the domain that holds.
        holder: u16,
        _pad: [u8; 6],
        /// Out: grants that it has mapped.
        grants: u32,
        /// Out: frames that it has mapped as the controller.
        frames: u32,
    }

    /// What a vCPU did since it was made.
    struct VcpuAccount = "struct tenon_domctl_vcpu_account" {
        /// In: the vCPU.
        vcpu: u32,
        /// In: the length of `exits`; out: how many kinds of exits the hypervisor counts. Only what fits is filled.
        kinds: u32,
        /// Out: the system time of this reading, nanoseconds.
        now: u64,
        /// Out: nanoseconds until `now` in each state, indexed by `RUNSTATE_*` ([`vcpu`](crate::vcpu)).
        spent: [u64; 4],
        /// Array of `u64`, indexed by [`ExitKind`]: how often the vCPU left its guest.
        exits: Handle64,
    }
}

/// Defines the kinds, their numbers and their names in one list.
macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $name:literal,)*) => {
        /// Why a vCPU left its guest, as AMD-V and VT-x have it in common. The number is the place in
        /// [`VcpuAccount::exits`]; new kinds go to the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum ExitKind {
            $($(#[$meta])* $kind,)*
        }

        impl ExitKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$kind),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name that tools show.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A host interrupt or NMI came.
    Interrupt = "interrupt",
    /// The guest can take an interrupt that waits for it.
    InterruptWindow = "window",
    /// VMMCALL or VMCALL.
    Hypercall = "hypercall",
    /// CPUID.
    Cpuid = "cpuid",
    /// HLT.
    Halt = "halt",
    /// PAUSE in a loop.
    Pause = "pause",
    /// RDMSR.
    MsrRead = "rdmsr",
    /// WRMSR.
    MsrWrite = "wrmsr",
    /// CR8 or XCR0.
    ControlRegister = "control-register",
    /// IN, OUT, INS or OUTS.
    Io = "io",
    /// A guest-physical address that maps to nothing, or not for that: emulated devices, too.
    Memory = "memory",
    /// An exception that is watched, or an instruction that this guest CPU does not have.
    Exception = "exception",
    /// Anything else.
    Other = "other",
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (place, kind) in ExitKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
        assert_eq!(size_of::<VcpuAccount>(), 56);
    }
}

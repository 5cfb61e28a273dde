//! What the small test guests share: a kernel just large enough to assert architecture and ABI from inside.
//!
//! A guest is a PVH image that starts in 32-bit mode, gets to 64-bit mode with its own page tables ([`entry`],
//! [`paging`]), and runs the tests that [`guest!`] lists ([`suite`]). A test that faults fails; the others go on
//! ([`trap`]). Output goes through the debug port to the hypervisor's log ([`console`]).
//!
//! Memory is mapped one to one, so that addresses, guest-physical addresses and pointers are the same numbers.
#![no_std]

extern crate alloc;

pub mod apic;
pub mod boot_info;
pub mod call;
pub mod clock;
pub mod console;
pub mod cpu;
pub mod entry;
pub mod events;
pub mod grants;
mod heap;
pub mod paging;
pub mod shared;
pub mod smp;
pub mod suite;
pub mod trap;

pub use hypercall_abi as abi;

/// Makes a program a guest: its name and its tests, each a function without arguments that returns a
/// [`suite::Outcome`].
#[macro_export]
macro_rules! guest {
    ($name:literal, [$($test:path),* $(,)?]) => {
        $crate::guest_program!({
            $crate::suite::run($name, &[$($crate::suite::Test { name: stringify!($test), run: $test },)*])
        });
    };
}

/// Makes a program a guest whose main function is the block.
#[macro_export]
macro_rules! guest_program {
    ($body:block) => {
        mod guest_start {
            #![allow(
                unsafe_code,
                reason = "the entry's note, and the name by which the entry finds the program"
            )]
            use super::*;

            $crate::abi::pvh_entry_note!("guest_entry32");

            #[unsafe(no_mangle)]
            fn guest_main() -> ! {
                $body
            }
        }
    };
}

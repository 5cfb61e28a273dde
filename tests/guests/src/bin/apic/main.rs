//! The local APIC in both its modes, and starting other vCPUs.
//!
//! The machine has two vCPUs for these tests; with one, the tests of the others are skipped. The switch to x2APIC mode
//! comes in the middle: there is no way back.
#![no_std]
#![no_main]

extern crate alloc;

mod local;
mod others;
mod wide;

use test_guests::guest;

guest!(
    "apic",
    [
        local::identity,
        local::after_reset,
        local::self_ipi,
        local::priorities,
        local::task_priority,
        local::one_of_each_waits,
        local::software_disabled,
        local::nmi,
        others::by_sipi,
        wide::switch_on,
        wide::same_identity,
        wide::self_ipi_register,
        wide::bad_registers,
        wide::no_way_back,
        wide::task_priority_is_cr8,
        others::bad_calls,
        others::by_call,
        others::up_and_down,
        wide::cr8_counts,
    ]
);

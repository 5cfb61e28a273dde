//! Time: the clock, the timers of the interface, the local APIC's timer, run states, watchdogs.
//!
//! A timer never fires early. How late it may be depends on what else the machine does: the bounds are wide.
#![no_std]
#![no_main]

extern crate alloc;

mod clocks;
mod lapic;
mod states;
mod virq;

use test_guests::guest;

guest!(
    "timers",
    [
        clocks::monotonic,
        clocks::frequency,
        clocks::agree,
        clocks::wall_clock,
        virq::singleshot,
        virq::singleshot_is_prompt,
        virq::singleshot_in_the_past,
        virq::stopped,
        virq::timer_op,
        virq::periodic,
        virq::bad_arguments,
        virq::block_until,
        virq::halt_until,
        lapic::one_shot,
        lapic::periodic,
        lapic::masked,
        lapic::deadline,
        states::adds_up,
        states::blocked_time,
        states::area,
        states::watchdogs,
    ]
);

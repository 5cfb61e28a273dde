//! A guest that always wants its CPU. Every second it says which part of that time it had: what passed while it
//! did not look at the clock was somebody else's. With `yields` on its command line it gives its CPU away whenever it
//! has it, and says nothing.
#![no_std]
#![no_main]

use test_guests::abi::sched::OP_YIELD;
use test_guests::abi::xen::HYPERCALL_SCHED_OP;
use test_guests::clock::{MICROSECOND, SECOND};
use test_guests::{boot_info, call, clock, guest_program, say, suite};

/// Longer than anything that is done for this guest itself, shorter than any turn of another.
const AWAY: u64 = 100 * MICROSECOND;

guest_program!({
    if boot_info::command_line().split_whitespace().any(|word| word == "yields") {
        loop {
            if let Err(e) = call::any(HYPERCALL_SCHED_OP, &[OP_YIELD.into()]) {
                suite::die(format_args!("yield: {e:?}"));
            }
        }
    }
    let mut last = clock::now();
    loop {
        let (start, mut had) = (last, 0);
        while last - start < SECOND {
            let now = clock::now();
            had += if now - last < AWAY { now - last } else { 0 };
            last = now;
        }
        say!("had {} permille", had * 1000 / (last - start));
    }
});

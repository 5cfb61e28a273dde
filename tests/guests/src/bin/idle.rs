//! A guest that waits for ever, for tests that count what a guest costs. Its command line may ask for something else:
//! `end=poweroff`, `end=reboot` or `end=crash` ends it at once, `busy` keeps it computing, with many exits.
#![no_std]
#![no_main]

use test_guests::abi::sched::{SHUTDOWN_CRASH, SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT};
use test_guests::{boot_info, cpu, guest_program, say, suite};

guest_program!({
    say!("idle");
    let words = boot_info::command_line();
    let end = words.split_whitespace().find_map(|word| word.strip_prefix("end="));
    match end {
        Some("poweroff") => suite::shut_down(SHUTDOWN_POWEROFF),
        Some("reboot") => suite::shut_down(SHUTDOWN_REBOOT),
        Some("crash") => suite::shut_down(SHUTDOWN_CRASH),
        _ => {}
    }
    if words.split_whitespace().any(|word| word == "busy") {
        loop {
            core::hint::black_box(cpu::cpuid(0, 0));
        }
    }
    loop {
        cpu::sti_hlt();
    }
});

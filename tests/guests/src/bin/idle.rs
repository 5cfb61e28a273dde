//! A guest that waits for ever, for tests that count what a guest costs; or one that ends at once, in the way that its
//! command line names: `end=poweroff`, `end=reboot`, `end=crash`.
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
    loop {
        cpu::sti_hlt();
    }
});

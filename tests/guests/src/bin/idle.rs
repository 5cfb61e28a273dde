//! A guest that waits for ever: for tests that count what a guest costs.
#![no_std]
#![no_main]

use test_guests::{cpu, guest_program, say};

guest_program!({
    say!("idle");
    loop {
        cpu::sti_hlt();
    }
});

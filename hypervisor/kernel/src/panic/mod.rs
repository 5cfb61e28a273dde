//! The end: what went wrong, where, and on whose behalf.
#![allow(unsafe_code, reason = "breaks the console's lock")]

use core::panic::PanicInfo;

pub mod symbols;

use crate::console;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // SAFETY: nothing runs after this.
    unsafe { console::write_fmt_emergency(format_args!("(tenon) {info}\n")) };
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}

//! From the boot loader to a running machine.
//!
//! `entry.s` gets the boot CPU from 32-bit protected mode into [`boot_main`], which starts the machine layer part by
//! part and then hands over to [`crate::start::boot_cpu`].
#![allow(unsafe_code, reason = "the entry from assembly")]

use core::arch::global_asm;

use tenon_core::options::Options;

mod loader;
mod multiboot1;
mod multiboot2;

pub use loader::{FramebufferInfo, PixelField};

use crate::console;

global_asm!(include_str!("entry.s"));

/// What Tenon calls itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The boot CPU, in long mode on the boot stack, with the first 4 GiB mapped.
///
/// `magic` and `info` are what the boot loader left in EAX and EBX.
#[unsafe(no_mangle)]
extern "C" fn boot_main(magic: u32, info: u32) -> ! {
    // SAFETY: called once, from the entry code, with the loader's own values.
    let loader = unsafe { loader::Information::new(magic, info) };
    let command_line = loader.command_line();
    console::init(&Options::parse(command_line, &mut |_| {}), loader.framebuffer());
    console::write_fmt(format_args!("Tenon {VERSION}, loaded by {}\n", loader.name()));
    let options = Options::parse(command_line, &mut |warning| log::warn!("{warning}"));
    log::info!("command line: {command_line}");
    crate::start::boot_cpu(&options)
}

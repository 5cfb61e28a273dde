//! From the boot loader to a running machine.
//!
//! `entry.s` gets the boot CPU from 32-bit protected mode into [`boot_main`], which starts the machine layer part by
//! part and then hands over to [`crate::start::boot_cpu`].
#![allow(unsafe_code, reason = "the entry from assembly, and what may be done once")]

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::arch::global_asm;

use tenon_core::memory_map::Kind;
use tenon_core::options::Options;

mod info;
mod loader;
mod memory;
mod multiboot1;
mod multiboot2;

pub use info::BootInfo;
pub use loader::{FramebufferInfo, Module};

use crate::acpi::{self, acpi};
use crate::apic::{io, local, pic};
use crate::cpu::{self, features, stack};
use crate::mm::{paging, phys};
use crate::time::timer;
use crate::{console, panic, smp, time};
use loader::Information;
use memory::Maps;

global_asm!(include_str!("entry.s"));

/// What Tenon calls itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The boot CPU, in long mode on the boot stack, with the first 4 GiB mapped.
///
/// `magic` and `info` are what the boot loader left in EAX and EBX.
#[unsafe(no_mangle)]
extern "C" fn boot_main(magic: u32, info: u32) -> ! {
    cpu::tables::load_idt();
    // SAFETY: called once, from the entry code, with the loader's own values.
    let loader = unsafe { loader::information(magic, info) };
    let options = Options::parse(loader.command_line(), &mut |_| {});
    console::init(&options, loader.framebuffer());
    panic::set_noreboot(options.noreboot);
    console::write_fmt(format_args!("Tenon {VERSION}, loaded by {}\n", loader.name()));
    log::info!("command line: {}", loader.command_line());
    let options = Options::parse(loader.command_line(), &mut |warning| log::warn!("{warning}"));
    // SAFETY: the boot CPU's first time; nothing uses NX or the PAT yet.
    unsafe { cpu::control::init(&options) };

    // Now, because the BIOS area is about to leave the page tables.
    let root_table = loader.root_table();
    let maps = memory::maps(loader).unwrap_or_else(|error| panic!("{error}"));
    // SAFETY: the first time, on the entry code's tables; the map has all that the loader told.
    let info = unsafe { start_memory(loader, maps) };
    console::init_framebuffer(info);
    acpi::init(root_table);
    local::init(&info.options, acpi().local_apic).unwrap_or_else(|error| panic!("local APIC: {error}"));
    // SAFETY: the boot CPU, once, with the local APIC chosen.
    unsafe { smp::init_cpus(&info.options) }.unwrap_or_else(|error| panic!("per-CPU data: {error}"));
    // SAFETY: this CPU's own stack, unused so far.
    unsafe { stack::switch_to(cpu::this().stack.end, start_devices, info) }
}

/// The boot CPU on its own stack, with its own tables: interrupt controllers, time, the other CPUs.
extern "C" fn start_devices(info: &'static BootInfo) -> ! {
    pic::disable();
    local::init_this_cpu();
    io::init(&acpi().io_apics);
    time::init(&info.options).unwrap_or_else(|missing| panic!("{missing}"));
    timer::init();
    if let Some(page) = info.trampoline {
        // SAFETY: once, on the boot CPU, time is running; the page was chosen for this.
        unsafe { smp::start_others(page.addr()) };
    } else if cpu::all().len() > 1 {
        log::error!("no page below 1 MiB is free: the other CPUs stay off");
    }
    let features = features();
    log::info!(
        "{} of {} CPUs, {}, {}",
        cpu::online().count(),
        acpi().cpus.len().max(1),
        if local::is_x2apic() { "x2APIC" } else { "xAPIC" },
        if features.svm {
            "AMD-V"
        } else if features.vmx {
            "VT-x"
        } else {
            "no virtualization"
        }
    );
    console::enable_input_interrupts();
    crate::start::boot_cpu(info)
}

/// Brings up frames, page tables and heap, and copies what the loader told out of its memory.
///
/// # Safety
/// Once, on the entry code's page tables.
#[inline(never)]
unsafe fn start_memory(loader: &'static dyn Information, maps: Maps) -> &'static BootInfo {
    for range in maps.firmware.ranges() {
        log::debug!("memory {:#014x}-{:#014x} {}", range.start.0, range.end.0, range.kind);
    }
    phys::init_early(&maps.usage);
    // SAFETY: the caller's promise; the map was made from all that the loader told.
    unsafe { paging::init(&maps.usage) }.unwrap_or_else(|error| panic!("page tables: {error}"));
    console::leave_boot_tables();

    let mut modules = Vec::new();
    loader.modules(&mut |module| {
        modules.push(Module { command_line: module.command_line.to_string().leak(), ..module });
    });
    let command_line: &'static str = loader.command_line().to_string().leak();
    let framebuffer = loader.framebuffer();
    let usage_map = phys::init_table().unwrap_or_else(|missing| panic!("{missing}"));
    let free = phys::table().map_or(0, |table| table.free_frames());
    log::info!(
        "{} MiB of RAM, {} MiB free, {} modules",
        maps.firmware.total(Kind::Ram) >> 20,
        free >> 8,
        modules.len()
    );
    Box::leak(Box::new(BootInfo {
        command_line,
        options: Options::parse(command_line, &mut |_| {}),
        modules,
        trampoline: smp::choose_page(&usage_map).map(|page| page.frame()),
        firmware_map: maps.firmware,
        usage_map,
        framebuffer,
    }))
}

//! The end: what went wrong, where, and on whose behalf; then a reboot, or not.
//!
//! The first CPU that gets here stops all others by NMI and reports. A fault while it reports ends the report.
#![allow(unsafe_code, reason = "breaks the console's lock")]

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};
use x86_64::registers::model_specific::Efer;

mod backtrace;
pub mod symbols;

use crate::apic::local;
use crate::console;
use crate::cpu::interrupt::{Frame, exception_name};
use crate::{cpu, reset, time, watchdog};
use backtrace::Backtrace;

/// No CPU has panicked.
const NOBODY: u32 = u32::MAX;
/// How long the report stays before the reboot, for somebody who watches.
const REBOOT_DELAY: u64 = 5 * time::SECOND;

static OWNER: AtomicU32 = AtomicU32::new(NOBODY);
static STAY: AtomicBool = AtomicBool::new(false);

/// Keeps the machine from rebooting after a panic (`noreboot`).
pub fn set_noreboot(stay: bool) {
    STAY.store(stay, Ordering::Relaxed);
}

/// Whether some CPU has panicked.
pub fn is_under_way() -> bool {
    OWNER.load(Ordering::Acquire) != NOBODY
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let frame = Frame::here();
    report(&|out| {
        match info.location() {
            Some(at) => writeln!(out, "{} at {}:{}", info.message(), at.file(), at.line())?,
            None => writeln!(out, "{}", info.message())?,
        }
        registers(out, &frame)
    })
}

/// An exception in the hypervisor itself.
pub fn exception(frame: &Frame) -> ! {
    report(&|out| {
        write!(out, "{} (vector {})", exception_name(frame.vector), frame.vector)?;
        if frame.vector == 14 || frame.vector == 8 {
            write!(out, " at address {:#x}", Cr2::read_raw())?;
        }
        writeln!(out)?;
        registers(out, frame)
    })
}

fn registers(out: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
    writeln!(out, "{frame}")?;
    let (cr3, cr3_flags) = Cr3::read_raw();
    writeln!(
        out,
        "  cr0 {:x} cr3 {:x} cr4 {:x} efer {:x}",
        Cr0::read_raw(),
        cr3.start_address().as_u64() | u64::from(cr3_flags),
        Cr4::read_raw(),
        Efer::read_raw()
    )?;
    write!(out, "{}", Backtrace { rip: frame.rip, rbp: frame.rbp })
}

/// A non-maskable interrupt: another CPU's panic, the watchdog, or the hardware's cry for help.
pub fn nmi(frame: &Frame) {
    if is_under_way() {
        halt();
    }
    match watchdog::found_stuck() {
        Some(Some(seconds)) => report(&|out| {
            writeln!(out, "watchdog: stuck in the hypervisor for {seconds} s")?;
            registers(out, frame)
        }),
        // It got on just now.
        Some(None) => return,
        None => {}
    }
    // SAFETY: NMIs interrupt anything, also a holder of the console's lock; the wait for it is bounded, and garbled
    // output is the price of an event that is rarer than a disk's death.
    unsafe { console::write_fmt_emergency(format_args!("(tenon) warning: NMI at {:#x}\n", frame.rip)) };
}

fn report(text: &dyn Fn(&mut fmt::Formatter<'_>) -> fmt::Result) -> ! {
    x86_64::instructions::interrupts::disable();
    let cpu = cpu::try_this();
    let me = cpu.map_or(0, |cpu| cpu.id.0);
    match OWNER.compare_exchange(NOBODY, me, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        // SAFETY: the report that this interrupts goes no further.
        Err(owner) if owner == me => unsafe {
            console::write_fmt_emergency(format_args!("\nA fault cut the report short.\n"));
            end()
        },
        Err(_) => halt(),
    }
    local::send_nmi_to_others();
    // SAFETY: the other CPUs are stopped, or will be before they get far.
    unsafe {
        console::write_fmt_emergency(format_args!("\nTenon has panicked on cpu{me}: {}", fmt::from_fn(text)));
        let culprit = fmt::from_fn(|f| match cpu.and_then(cpu::Cpu::running) {
            Some((domain, vcpu)) => write!(f, "{domain}{vcpu}"),
            None => f.write_str("no domain"),
        });
        console::write_fmt_emergency(format_args!("Running: {culprit}\n"));
    }
    end()
}

/// Reboots, unless told to stay; a key decides otherwise.
fn end() -> ! {
    let stay = STAY.load(Ordering::Relaxed);
    let offer = if stay {
        "The machine stays as it is (noreboot). Press R to reboot.\n"
    } else {
        "Rebooting in 5 seconds. Press any key to stay.\n"
    };
    // SAFETY: as in `report`.
    unsafe { console::write_fmt_emergency(format_args!("{offer}")) };
    if !stay {
        let deadline = time::is_up().then(|| time::now().saturating_add(REBOOT_DELAY));
        while deadline.is_some_and(|deadline| time::now() < deadline) {
            if key().is_some() {
                break;
            }
            core::hint::spin_loop();
        }
        if deadline.is_none_or(|deadline| time::now() >= deadline) {
            reset::reboot();
        }
    }
    while key() != Some(b'R') {
        core::hint::spin_loop();
    }
    reset::reboot()
}

/// The next key that somebody has pressed.
fn key() -> Option<u8> {
    let mut key = [0];
    (console::read_input(&mut key) > 0).then_some(key[0])
}

fn halt() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}

//! Reboot and power off.
#![allow(unsafe_code, reason = "resets the machine")]

use tenon_core::acpi::{AddressSpace, GenericAddress};
use tenon_core::frame::Maddr;
use tenon_core::size::Size;
use x86_64::VirtAddr;
use x86_64::structures::DescriptorTablePointer;

use crate::acpi::acpi;
use crate::cpu::port::Port;
use crate::mm::mmio::Mmio;
use crate::mm::vmap::{self, Caching};

const KEYBOARD: Port = Port(0x64);
const KEYBOARD_BUSY: u32 = 1 << 1;
const KEYBOARD_RESET: u32 = 0xfe;
const PCI_RESET: Port = Port(0xcf9);
/// Polls, each of about a microsecond (one I/O access), that a way to reset is given to work.
const PATIENCE: u32 = 20_000;

const PM1_SLEEP_ENABLE: u32 = 1 << 13;
const PM1_SLEEP_TYPE_SHIFT: u32 = 10;
const PM1_SLEEP_BITS: u32 = 0xf << PM1_SLEEP_TYPE_SHIFT;

/// Reboots, by whatever way works: the ACPI reset register, the chipset, the keyboard controller, a triple fault.
pub fn reboot() -> ! {
    x86_64::instructions::interrupts::disable();
    if let Some((register, value)) = acpi().fadt().and_then(|fadt| fadt.reset()) {
        write(register, u32::from(value));
        pause();
    }
    // SAFETY: the machine ends here; the chipset resets on the rising edge of bit 2.
    unsafe {
        PCI_RESET.write(Size::Byte, 0x02);
        PCI_RESET.write(Size::Byte, 0x06);
        pause();
        for _ in 0..PATIENCE {
            if KEYBOARD.read(Size::Byte) & KEYBOARD_BUSY == 0 {
                break;
            }
        }
        KEYBOARD.write(Size::Byte, KEYBOARD_RESET);
        pause();
        // Without an IDT, the breakpoint is a triple fault.
        x86_64::instructions::tables::lidt(&DescriptorTablePointer { limit: 0, base: VirtAddr::zero() });
        core::arch::asm!("int3", options(noreturn));
    }
}

/// Switches the machine off: enters S5 with the sleep types that the DSDT's `_S5` gives for PM1a and PM1b. Returns what
/// kept it on.
pub fn power_off() -> &'static str {
    let Some((fadt, (sleep_type_a, sleep_type_b))) = acpi().fadt().zip(acpi().soft_off()) else {
        return "the ACPI tables do not say how";
    };
    let registers = fadt.pm1_control();
    if registers[0].is_none() {
        return "the ACPI tables name no PM1 control register";
    }
    x86_64::instructions::interrupts::disable();
    for (register, kind) in registers.into_iter().zip([sleep_type_a, sleep_type_b]) {
        let Some(register) = register else { continue };
        let old = read(register) & !(PM1_SLEEP_BITS | PM1_SLEEP_ENABLE);
        let new = old | (u32::from(kind) << PM1_SLEEP_TYPE_SHIFT & PM1_SLEEP_BITS);
        write(register, new);
        write(register, new | PM1_SLEEP_ENABLE);
    }
    pause();
    "the machine is still on after the S5 registers were written"
}

fn size(register: GenericAddress) -> Size {
    match register.bit_width {
        0..=8 => Size::Byte,
        9..=16 => Size::Word,
        _ => Size::Dword,
    }
}

fn memory(register: GenericAddress) -> Option<Mmio> {
    // SAFETY: a register that the FADT names for what it is used for here.
    unsafe { vmap::map_device(Maddr(register.address), 4, Caching::Uncached) }.ok()
}

/// Reads a register of the fixed hardware; zero where it cannot be reached.
fn read(register: GenericAddress) -> u32 {
    match (register.space, u16::try_from(register.address)) {
        // SAFETY: as in `memory`.
        (AddressSpace::Io, Ok(port)) => unsafe { Port(port).read(size(register)) },
        (AddressSpace::Memory, _) => {
            memory(register).map_or(0, |memory| memory.read(0, size(register).bytes().into()) as u32)
        }
        _ => 0,
    }
}

fn write(register: GenericAddress, value: u32) {
    match (register.space, u16::try_from(register.address)) {
        // SAFETY: as in `memory`; the caller wants what it does.
        (AddressSpace::Io, Ok(port)) => unsafe { Port(port).write(size(register), value) },
        (AddressSpace::Memory, _) => {
            if let Some(memory) = memory(register) {
                memory.write(0, size(register).bytes().into(), value.into());
            }
        }
        _ => {}
    }
}

fn pause() {
    for _ in 0..PATIENCE {
        // SAFETY: reading the keyboard controller's status changes nothing.
        let _ = unsafe { KEYBOARD.read(Size::Byte) };
    }
}

//! The local APIC, in the mode it is in.
#![allow(unsafe_code, reason = "the APIC's registers are memory in xAPIC mode")]

use crate::cpu::{self, MSR_APIC_BASE};

pub const ID: u32 = 0x02;
pub const VERSION: u32 = 0x03;
pub const TPR: u32 = 0x08;
pub const PPR: u32 = 0x0a;
pub const EOI: u32 = 0x0b;
pub const LDR: u32 = 0x0d;
pub const DFR: u32 = 0x0e;
pub const SPURIOUS: u32 = 0x0f;
pub const ISR: u32 = 0x10;
pub const TMR: u32 = 0x18;
pub const IRR: u32 = 0x20;
pub const ERROR: u32 = 0x28;
pub const ICR: u32 = 0x30;
pub const ICR_HIGH: u32 = 0x31;
pub const LVT_TIMER: u32 = 0x32;
pub const LVT_LINT0: u32 = 0x35;
pub const LVT_ERROR: u32 = 0x37;
pub const TIMER_INITIAL: u32 = 0x38;
pub const TIMER_CURRENT: u32 = 0x39;
pub const TIMER_DIVIDE: u32 = 0x3e;
pub const SELF_IPI: u32 = 0x3f;

/// Bits of the APIC base register.
pub const BASE_BOOT_CPU: u64 = 1 << 8;
pub const BASE_X2APIC: u64 = 1 << 10;
pub const BASE_ENABLED: u64 = 1 << 11;

const MMIO: u64 = 0xfee0_0000;

/// Whether the APIC is in x2APIC mode.
#[must_use]
pub fn is_x2apic() -> bool {
    cpu::rdmsr(MSR_APIC_BASE).is_ok_and(|base| base & BASE_X2APIC != 0)
}

/// Reads a register by its x2APIC number.
#[must_use]
pub fn read(register: u32) -> u32 {
    if is_x2apic() {
        return cpu::rdmsr(0x800 + register).unwrap_or(u64::from(u32::MAX)) as u32;
    }
    read_memory(register)
}

/// Writes a register by its x2APIC number.
pub fn write(register: u32, value: u32) {
    if is_x2apic() {
        // What a refused write means is the test's business; it sees that nothing happened.
        let _ = cpu::wrmsr(0x800 + register, value.into());
    } else {
        write_memory(register, value);
    }
}

/// Reads a register through memory.
#[must_use]
pub fn read_memory(register: u32) -> u32 {
    // SAFETY: the APIC's registers, mapped one to one.
    unsafe { ((MMIO + u64::from(register) * 16) as *const u32).read_volatile() }
}

/// Writes a register through memory.
pub fn write_memory(register: u32, value: u32) {
    // SAFETY: as for `read_memory`.
    unsafe { ((MMIO + u64::from(register) * 16) as *mut u32).write_volatile(value) }
}

/// Sends an interrupt command to an APIC id.
pub fn send(destination: u32, command: u32) {
    if is_x2apic() {
        // As in `write`.
        let _ = cpu::wrmsr(0x800 + ICR, u64::from(destination) << 32 | u64::from(command));
    } else {
        write_memory(ICR_HIGH, destination << 24);
        write_memory(ICR, command);
    }
}

/// This CPU's APIC id.
#[must_use]
pub fn id() -> u32 {
    if is_x2apic() { read(ID) } else { read(ID) >> 24 }
}

/// Ends the interrupt in service.
pub fn acknowledge() {
    write(EOI, 0);
}

/// Turns the APIC on, with 0xff as the spurious vector and everything masked.
pub fn enable() {
    write(SPURIOUS, 0x1ff);
    write(TPR, 0);
}

/// Whether a vector's bit is set in a register of 256 bits.
#[must_use]
pub fn bit(register: u32, vector: u8) -> bool {
    read(register + u32::from(vector) / 32) & 1 << (vector % 32) != 0
}

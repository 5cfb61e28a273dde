//! The CMOS clock, read once at the start; afterwards it is domain 0's.
#![allow(unsafe_code, reason = "reads CMOS registers")]

use tenon_core::rtc::Registers;
use tenon_core::size::Size;

use crate::acpi::acpi;
use crate::cpu::port::Port;

const INDEX: Port = Port(0x70);
const DATA: Port = Port(0x71);
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATING: u8 = 1 << 7;
const PATIENCE: u32 = 100_000;

/// Seconds since 1970; `None` if the clock shows no time.
pub fn read() -> Option<u64> {
    let century = acpi().fadt().and_then(|fadt| fadt.century());
    let mut last = None;
    // Two equal readings in a row: no update fell between a reading's registers.
    for _ in 0..PATIENCE {
        if register(STATUS_A) & UPDATING != 0 {
            continue;
        }
        let reading = Registers {
            seconds: register(0),
            minutes: register(2),
            hours: register(4),
            day: register(7),
            month: register(8),
            year: register(9),
            century: century.map(register),
            status_b: register(STATUS_B),
        };
        if last == Some(reading) {
            return reading.unix_seconds();
        }
        last = Some(reading);
    }
    None
}

fn register(index: u8) -> u8 {
    // SAFETY: domain 0 does not run yet, so nobody else is between index and data. NMIs stay enabled (bit 7 clear).
    unsafe {
        INDEX.write(Size::Byte, u32::from(index & 0x7f));
        DATA.read(Size::Byte) as u8
    }
}

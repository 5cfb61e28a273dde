//! Ports and memory where there is a device, and where there is none.
#![allow(unsafe_code, reason = "accesses to memory that is not there")]

use test_guests::abi::xen::HVM_DEBUGCONS_IOPORT;
use test_guests::suite::{self, Outcome};
use test_guests::trap::PROTECTION;
use test_guests::{attempt, boot_info, check, check_eq, cpu};

/// A port that no machine here has.
const NOBODY: u16 = 0x7f00;

pub fn debug_port() -> Outcome {
    // Bochs's and Xen's debug ports answer with their own number or with ones.
    let value = cpu::in8(HVM_DEBUGCONS_IOPORT);
    check!(value == 0xe9 || value == 0xff, "{value:#x}");
    Ok(())
}

pub fn nobody_there() -> Outcome {
    cpu::out8(NOBODY, 1);
    cpu::out32(NOBODY, 1);
    check_eq!(cpu::in8(NOBODY), 0xff);
    check_eq!(cpu::in16(NOBODY), 0xffff);
    check_eq!(cpu::in32(NOBODY), u32::MAX);
    Ok(())
}

/// The PIT is the hypervisor's, and Linux finds that out at its first look (with Xen it takes 100,000).
pub fn no_timer() -> Outcome {
    cpu::out8(0x43, 0xb0);
    cpu::out8(0x42, 0xff);
    cpu::out8(0x42, 0xff);
    check_eq!(cpu::in8(0x42), 0);
    check_eq!(cpu::in8(0x40), 0xff);
    Ok(())
}

pub fn memory_hole() -> Outcome {
    let Some(hole) = boot_info::hole(2) else { return suite::skip("no hole below 4 GiB") };
    // SAFETY: nothing is there, whatever is written.
    unsafe {
        let (byte, long): (u64, u64);
        attempt!("movzx {v:e}, byte ptr [{a}]"; v = out(reg) byte, a = in(reg) hole + 5)?;
        attempt!("mov {v}, [{a}]"; v = out(reg) long, a = in(reg) hole)?;
        // Domain 0 may reach the machine's own hole, which QEMU fills with zeros.
        let nothing = |value: u64, ones: u64| value == ones || value == 0 && boot_info::is_dom0();
        check!(nothing(byte, 0xff) && nothing(long, u64::MAX), "{byte:#x}, {long:#x}");
        attempt!("mov dword ptr [{a}], 0x12345678"; a = in(reg) hole)?;
        attempt!("mov byte ptr [{a}], 1"; a = in(reg) hole + 3)?;
        let across: u64;
        attempt!("mov {v}, [{a}]"; v = out(reg) across, a = in(reg) hole + 4092)?;
        check!(nothing(across, u64::MAX), "across a page's end: {across:#x}");
    }
    Ok(())
}

pub fn string_instructions() -> Outcome {
    let mut buffer = [0_u8; 16];
    // SAFETY: 16 bytes go into the buffer.
    let read = unsafe {
        attempt!("rep insb"; in("dx") NOBODY, inout("rdi") buffer.as_mut_ptr() => _, inout("rcx") 16_u64 => _)
    };
    match read {
        Ok(()) => check_eq!(buffer, [0xff; 16]),
        Err(trap) => check_eq!(trap.vector, PROTECTION),
    }
    let text = b"string output\n";
    // SAFETY: the text's bytes go to the debug port.
    let written = unsafe {
        attempt!("rep outsb"; in("dx") HVM_DEBUGCONS_IOPORT, inout("rsi") text.as_ptr() => _,
            inout("rcx") text.len() => _)
    };
    // Tenon refuses string instructions on ports that it handles itself.
    check!(written.is_ok() || written.is_err_and(|trap| trap.vector == PROTECTION), "{written:?}");
    Ok(())
}

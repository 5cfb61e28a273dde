//! Text to the hypervisor's log, through the debug port.

use core::fmt::{self, Write};

use hypercall_abi::xen::HVM_DEBUGCONS_IOPORT;
use spin::Mutex;

use crate::cpu;

struct DebugPort;

impl Write for DebugPort {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            cpu::out8(HVM_DEBUGCONS_IOPORT, byte);
        }
        Ok(())
    }
}

static PORT: Mutex<DebugPort> = Mutex::new(DebugPort);

/// Prints a line. Use [`say!`](crate::say).
pub fn line(text: fmt::Arguments<'_>) {
    // Writing to the port cannot fail.
    let _ = writeln!(PORT.lock(), "{text}");
}

/// Prints a line, whoever holds the port: for the last words of a CPU that may hold it itself.
pub fn last_line(text: fmt::Arguments<'_>) {
    let _ = writeln!(DebugPort, "\n{text}");
}

/// Prints a line to the hypervisor's log.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::console::line(format_args!($($arg)*)) };
}

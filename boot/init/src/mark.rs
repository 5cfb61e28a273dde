//! Marks in the hypervisor's log, for measuring: what a domain writes to port 0xE9 appears there as a
//! line, with the time stamp counter in front of it when the hypervisor is told so
//! (`console_timestamps=raw`). A mark costs one exit per byte, so marks are short.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::cmdline;

/// Xen's HVM debug port.
const PORT: u64 = 0xe9;

/// Writes `mark: NAME` to the log.
pub fn write(name: &str) -> io::Result<()> {
    line(&format!("mark: {name}"))
}

/// Writes a line to the log.
pub fn line(text: &str) -> io::Result<()> {
    let ports = File::options().write(true).open("/dev/port")?;
    for byte in format!("{text}\n").bytes() {
        // The position is the port, and it would move on.
        ports.write_all_at(&[byte], PORT)?;
    }
    Ok(())
}

/// Writes the mark if the kernel command line has `marks=1`.
pub fn if_wanted(name: &str) {
    if cmdline::value("marks").is_some()
        && let Err(error) = write(name)
    {
        println!("init: cannot write the mark {name}: {error}");
    }
}

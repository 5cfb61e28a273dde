//! The first processes of the test machines: domain 0's and a guest's.
//!
//! Both live in an initrd made by `cargo xtask`, are static, and need busybox for the shell only.
//! Lines that the harness waits for begin with `dom0: ` or `guest: `.

pub mod agent;
pub mod blocks;
pub mod cmdline;
pub mod io;
pub mod mark;
pub mod modules;
pub mod mounts;
pub mod power;
pub mod stall;
pub mod supervise;

use std::fs;

/// The release of the running kernel, as `uname -r` prints it.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// CPUs that are online.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// MiB of memory that the kernel manages.
pub fn memory_mib() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    total.and_then(|kib| kib.parse::<u64>().ok()).map_or(0, |kib| kib / 1024)
}

/// Seconds since the kernel started, to the hundredth.
pub fn uptime() -> String {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    uptime.split_whitespace().next().unwrap_or("?").to_owned()
}

/// The terminal behind `/dev/console`, which cannot be a controlling terminal itself.
pub fn console() -> String {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    active.split_whitespace().next_back().unwrap_or("hvc0").to_owned()
}

//! The clock that the hypervisor keeps in the vCPU information.

use core::mem::offset_of;
use core::sync::atomic::{Ordering, fence};

use hypercall_abi::xen::{VcpuInfo, VcpuTimeInfo};

use crate::paging::Page;
use crate::{cpu, shared};

pub const MICROSECOND: u64 = 1_000;
pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// A consistent copy of a vCPU's clock.
#[must_use]
pub fn info(vcpu: u32) -> VcpuTimeInfo {
    read(shared::page(), shared::vcpu_info(vcpu))
}

/// The same of the `vcpu_info` in some page.
fn read(page: Page, vcpu_info: u64) -> VcpuTimeInfo {
    let offset = vcpu_info + offset_of!(VcpuInfo, time) as u64;
    loop {
        let before: VcpuTimeInfo = page.get(offset);
        fence(Ordering::SeqCst);
        let after: VcpuTimeInfo = page.get(offset);
        if before.version.is_multiple_of(2) && before.version == after.version {
            return after;
        }
    }
}

/// System time of a TSC value by a clock, in ns.
#[must_use]
pub fn at(info: &VcpuTimeInfo, tsc: u64) -> u64 {
    let ticks = tsc.wrapping_sub(info.tsc_timestamp);
    let shifted = match info.tsc_shift {
        shift @ 0.. => ticks << shift,
        shift => ticks >> -shift,
    };
    let ns = (u128::from(shifted) * u128::from(info.tsc_to_system_mul)) >> 32;
    info.system_time.wrapping_add(ns as u64)
}

/// System time now, by the clock of vCPU 0.
#[must_use]
pub fn now() -> u64 {
    of(0)
}

/// System time now, by a vCPU's clock.
#[must_use]
pub fn of(vcpu: u32) -> u64 {
    of_info(shared::page(), shared::vcpu_info(vcpu))
}

/// System time now, by the `vcpu_info` in some page.
#[must_use]
pub fn of_info(page: Page, vcpu_info: u64) -> u64 {
    loop {
        let info = read(page, vcpu_info);
        let now = at(&info, cpu::tsc());
        if read(page, vcpu_info).version == info.version {
            return now;
        }
    }
}

/// TSC ticks in a time.
#[must_use]
pub fn ticks(ns: u64) -> u64 {
    let info = info(0);
    let ticks = (u128::from(ns) << 32) / u128::from(info.tsc_to_system_mul.max(1));
    let ticks = if info.tsc_shift < 0 { ticks << -info.tsc_shift } else { ticks >> info.tsc_shift };
    ticks as u64
}

/// Waits, with interrupts as they are, until `done` or for a time; returns whether it is done.
pub fn wait(ns: u64, done: impl Fn() -> bool) -> bool {
    let deadline = now() + ns;
    loop {
        if done() {
            return true;
        }
        if now() > deadline {
            return false;
        }
        cpu::relax();
    }
}

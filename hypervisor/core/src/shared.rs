//! What the hypervisor keeps up to date in a guest's own pages: the time, the wall clock, the run state.
//!
//! Each is guarded by a version (or a flag in the entry time) that is odd (or set) while it changes, so the guest
//! retries a read that met a change (`public/xen.h`, `vcpu_time_info`).

use hypercall_abi::abi::{Abi, Word, X32, X64};
use hypercall_abi::plain::Plain;
use hypercall_abi::vcpu::{RUNSTATE_UPDATE, RunstateInfo};
use hypercall_abi::xen::{PvclockFlags, SharedInfo, VcpuInfo, VcpuTimeInfo};

use core::mem::offset_of;
use core::sync::atomic::Ordering;

use crate::domain::{Context, Domain, SharedArea, VcpuRef};
use crate::evtchn::Layout;
use crate::frame::PAGE_SIZE;
use crate::hypervisor::Hypervisor;
use crate::machine::Machine;
use crate::page::GuestPage;
use crate::sched::RunTimes;

const TIME_IN_VCPU_INFO: usize = offset_of!(VcpuInfo<X64>, time);
const _: () = assert!(TIME_IN_VCPU_INFO == offset_of!(VcpuInfo<X32>, time));

impl<M: Machine> SharedArea<M> {
    /// Copies bytes to `offset` of the area, across the page's end if need be.
    fn write(&self, offset: usize, bytes: &[u8]) {
        let (page, start) = (&self.first.0, self.first.1 + offset);
        let in_first = PAGE_SIZE.saturating_sub(start).min(bytes.len());
        let (first, second) = bytes.split_at(in_first);
        if !first.is_empty() {
            page.write(start, first);
        }
        if let (false, Some(page)) = (second.is_empty(), &self.second) {
            page.write((start + in_first).saturating_sub(PAGE_SIZE), second);
        }
    }
}

/// Writes the time into the vCPU's `vcpu_info`, and where else the guest wants it.
pub fn publish_time<M: Machine>(hv: &Hypervisor<M>, vcpu: &VcpuRef<M>, context: &Context<M>) {
    let scale = hv.machine.tsc_scale();
    // Not two readings: what lies between them would stay between this vCPU's clock and the others'.
    let tsc = hv.machine.tsc();
    let now = hv.machine.time_at(tsc);
    let time = |version: u32| VcpuTimeInfo {
        version,
        tsc_timestamp: tsc.0.wrapping_add(context.tsc_offset),
        system_time: now.0,
        tsc_to_system_mul: scale.mul,
        tsc_shift: scale.shift,
        flags: if hv.stable_tsc { PvclockFlags::TSC_STABLE } else { PvclockFlags::empty() },
        ..VcpuTimeInfo::zeroed()
    };
    let events = vcpu.domain().events.lock();
    vcpu.shows_time.store(true, Ordering::Relaxed);
    if let Some(info) = events.vcpu_info(vcpu.id) {
        let at = info.offset + TIME_IN_VCPU_INFO;
        let version = info.page.load32(at) | 1;
        info.page.store32(at, version);
        info.page.write(at + 4, &time(version).as_bytes()[4..]);
        info.page.store32(at, version.wrapping_add(1));
    }
    drop(events);
    if let Some(area) = &context.time_area {
        area.write(0, &1u32.to_le_bytes());
        area.write(4, &time(2).as_bytes()[4..]);
        area.write(0, &(now.0 as u32 & !1).to_le_bytes());
    }
}

/// Writes the vCPU's run state to where the guest wants it, as of its latest change.
#[inline]
pub fn publish_runstate<M: Machine>(vcpu: &VcpuRef<M>, context: &Context<M>) {
    if let Some(area) = &context.runstate_area {
        publish_times(vcpu, area);
    }
}

#[inline(never)]
fn publish_times<M: Machine>(vcpu: &VcpuRef<M>, area: &SharedArea<M>) {
    let times = vcpu.sched.raw_times();
    let marked = vcpu.domain().marks_runstate.load(Ordering::Relaxed);
    if area.compat {
        write_runstate::<X32, M>(area, &times, marked);
    } else {
        write_runstate::<X64, M>(area, &times, marked);
    }
}

/// With `marked`, the entry time has its top bit set while the rest changes (`VMASST_TYPE_runstate_update_flag`).
fn write_runstate<A: Abi, M: Machine>(area: &SharedArea<M>, times: &RunTimes, marked: bool) {
    let mut info = runstate::<A>(times);
    if !marked {
        area.write(0, info.as_bytes());
        return;
    }
    let at = offset_of!(RunstateInfo<A>, state_entry_time);
    let changing = times.since.0 | RUNSTATE_UPDATE;
    info.state_entry_time = A::U64::truncated(changing);
    area.write(at, &changing.to_le_bytes());
    area.write(0, info.as_bytes());
    area.write(at, &times.since.0.to_le_bytes());
}

/// A run state in a guest's layout.
pub fn runstate<A: Abi>(times: &RunTimes) -> RunstateInfo<A> {
    let mut info = RunstateInfo::<A>::zeroed();
    info.state = times.state as u32;
    info.state_entry_time = A::U64::truncated(times.since.0);
    info.time = times.spent.map(A::U64::truncated);
    info
}

/// Writes the wall clock into the shared page: the time of day at [`Nanos`](crate::time::Nanos) zero.
pub fn publish_wall_clock<M: Machine>(hv: &Hypervisor<M>, domain: &Domain<M>) {
    // Held to the end: each of the domain's vCPUs and the control domain may write it.
    let events = domain.events.lock();
    let offset = domain.time_offset.load(Ordering::Relaxed).saturating_mul(1_000_000_000);
    let base = hv.machine.wall_clock_base().saturating_add_signed(offset);
    let (seconds, nanoseconds) = (base / 1_000_000_000, (base % 1_000_000_000) as u32);
    let page = &domain.shared_info;
    let (version_at, high_at) = match events.layout() {
        Layout::X32 => (offset_of!(SharedInfo<X32>, wc_version), SharedInfo::<X32>::wc_sec_hi_offset()),
        Layout::X64 => (offset_of!(SharedInfo<X64>, wc_version), SharedInfo::<X64>::wc_sec_hi_offset()),
    };
    let version = page.load32(version_at) | 1;
    page.store32(version_at, version);
    page.store32(version_at + 4, seconds as u32);
    page.store32(version_at + 8, nanoseconds);
    page.store32(high_at, (seconds >> 32) as u32);
    page.store32(version_at, version.wrapping_add(1));
}

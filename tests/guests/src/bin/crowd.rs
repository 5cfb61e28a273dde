//! As many vCPUs as the domain has, up to 128: all start, all are reached, and they agree on the time wherever they run.
#![no_std]
#![no_main]

extern crate alloc;

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use test_guests::abi::hvm::{CALLBACK_TYPE_VECTOR, PARAM_CALLBACK_IRQ};
use test_guests::abi::plain::Plain;
use test_guests::abi::vcpu::{OP_GET_RUNSTATE_INFO, OP_REGISTER_VCPU_INFO, RegisterVcpuInfo, RunstateInfo};
use test_guests::abi::xen::VcpuInfo;
use test_guests::clock::{self, SECOND};
use test_guests::cpu::MAX_CPUS;
use test_guests::paging::Page;
use test_guests::suite::Outcome;
use test_guests::{apic, call, check, check_eq, cpu, events, guest, shared, smp, trap};

guest!("crowd", [all_start, interrupts, event_channels, one_time, times_add_up, all_end]);

const IPI: u8 = 0x71;
const UPCALL: u8 = 0x61;
/// From here on a vCPU has no place in the shared page.
const FIRST_OUTSIDE: usize = 32;
/// How long they compare their clocks.
const RACE: u64 = 2 * SECOND;

/// What the others do: see [`member`].
static STAGE: AtomicU32 = AtomicU32::new(REST);
const REST: u32 = 0;
const RUN: u32 = 1;
const END: u32 = 2;

static IPIS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
static EVENTS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
static PORTS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// The address of each vCPU's information; 0 if that is in the shared page.
static INFOS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// vCPUs that are ready, and that have compared their clocks.
static READY: AtomicU32 = AtomicU32::new(0);
static RACED: AtomicU32 = AtomicU32::new(0);
/// The latest time that any of them has seen, and the furthest step back.
static LATEST: AtomicU64 = AtomicU64::new(0);
static STEP_BACK: AtomicU64 = AtomicU64::new(0);

/// The information of the vCPU that runs this: the page, and where it is in there.
fn own_info() -> (Page, u64) {
    match INFOS[cpu::index()].load(Ordering::Relaxed) {
        0 => (shared::page(), shared::vcpu_info(cpu::index() as u32)),
        address => (Page::at(address), 0),
    }
}

fn take_ipi(_: &mut trap::Frame) {
    IPIS[cpu::index()].fetch_add(1, Ordering::SeqCst);
}

fn take_upcall(_: &mut trap::Frame) {
    let (page, at) = own_info();
    page.set::<u8>(at + offset_of!(VcpuInfo, evtchn_upcall_pending) as u64, 0);
    page.word(at + offset_of!(VcpuInfo, evtchn_pending_sel) as u64).swap(0, Ordering::SeqCst);
    if shared::clear_pending(PORTS[cpu::index()].load(Ordering::SeqCst)) {
        EVENTS[cpu::index()].fetch_add(1, Ordering::SeqCst);
    }
}

/// Sleeps, and does what it is woken for.
fn member() {
    let me = cpu::index();
    if me >= FIRST_OUTSIDE {
        let page = Page::new();
        let mut register = RegisterVcpuInfo { mfn: page.gfn(), offset: 0, rsvd: 0 };
        if call::vcpu(OP_REGISTER_VCPU_INFO, me as u32, &mut register).is_err() {
            return;
        }
        INFOS[me].store(page.address(), Ordering::Relaxed);
    }
    apic::enable();
    READY.fetch_add(1, Ordering::SeqCst);
    let mut has_raced = false;
    while STAGE.load(Ordering::SeqCst) != END {
        if STAGE.load(Ordering::SeqCst) == RUN && !has_raced {
            race();
            has_raced = true;
        }
        cpu::sti_hlt();
        cpu::cli();
    }
}

/// Looks at its clock again and again, and at the latest time that any other has seen before.
fn race() {
    let (page, at) = own_info();
    let now = || clock::of_info(page, at);
    let end = now() + RACE;
    loop {
        let before = LATEST.load(Ordering::SeqCst);
        let now = now();
        STEP_BACK.fetch_max(before.saturating_sub(now), Ordering::SeqCst);
        LATEST.fetch_max(now, Ordering::SeqCst);
        if now > end {
            break;
        }
    }
    RACED.fetch_add(1, Ordering::SeqCst);
}

/// All vCPUs but the first.
fn others() -> core::ops::Range<u32> {
    1..smp::vcpus()
}

/// Interrupts all others once.
fn wake_all() {
    others().for_each(|vcpu| apic::send(2 * vcpu, IPI.into()));
}

fn all_start() -> Outcome {
    trap::set_up(IPI, true, Some(take_ipi));
    trap::set_up(UPCALL, false, Some(take_upcall));
    call::set_param(PARAM_CALLBACK_IRQ, u64::from(CALLBACK_TYPE_VECTOR) << 56 | u64::from(UPCALL))?;
    apic::enable();
    for vcpu in others() {
        check!(smp::start_by_call(vcpu, member)?, "vCPU {vcpu} does not start");
    }
    let all = others().len() as u32;
    check!(clock::wait(10 * SECOND, || READY.load(Ordering::SeqCst) == all), "not all are ready");
    check_eq!(smp::is_up(all), Ok(1));
    Ok(())
}

/// One interrupt to each, from the first and only from it.
fn interrupts() -> Outcome {
    wake_all();
    for vcpu in others() {
        let taken = || IPIS[vcpu as usize].load(Ordering::SeqCst);
        check!(clock::wait(10 * SECOND, || taken() == 1), "vCPU {vcpu} has had {} interrupts", taken());
    }
    Ok(())
}

fn event_channels() -> Outcome {
    for vcpu in others() {
        let port = events::bind_ipi(vcpu)?;
        shared::set_masked(port, false);
        PORTS[vcpu as usize].store(port, Ordering::SeqCst);
    }
    for round in 1..=3 {
        for vcpu in others() {
            events::send(PORTS[vcpu as usize].load(Ordering::SeqCst))?;
        }
        for vcpu in others() {
            let taken = || EVENTS[vcpu as usize].load(Ordering::SeqCst);
            check!(clock::wait(10 * SECOND, || taken() == round), "vCPU {vcpu} has had {} events", taken());
        }
    }
    Ok(())
}

/// While all compute, no clock is ever behind what another has shown, on whatever CPU they are.
fn one_time() -> Outcome {
    STAGE.store(RUN, Ordering::SeqCst);
    wake_all();
    race();
    let all = smp::vcpus();
    check!(clock::wait(120 * SECOND, || RACED.load(Ordering::SeqCst) >= all), "not all are done");
    STAGE.store(REST, Ordering::SeqCst);
    let back = STEP_BACK.load(Ordering::SeqCst);
    check!(back == 0, "time has gone back by {back} ns");
    Ok(())
}

/// What a vCPU's times add up to, between two readings of the clock.
fn sum(vcpu: u32) -> Result<(u64, u64, u64), test_guests::abi::guest::HypercallError> {
    let mut info: RunstateInfo = RunstateInfo::zeroed();
    let before = clock::now();
    call::vcpu(OP_GET_RUNSTATE_INFO, vcpu, &mut info)?;
    Ok((before, info.time.iter().sum(), clock::now()))
}

/// Running, runnable, blocked and offline add up to the time that went on, for each, to the nanosecond almost.
fn times_add_up() -> Outcome {
    /// A clock is rounded once when it is shown and once when it is read.
    const ROUNDING: u64 = 2;
    let mut first = alloc::vec::Vec::new();
    for vcpu in 0..smp::vcpus() {
        first.push(sum(vcpu)?);
    }
    wake_all();
    clock::wait(SECOND / 2, || false);
    for (vcpu, (before, sum_first, after)) in (0..).zip(first) {
        let (last_before, sum_last, last_after) = sum(vcpu)?;
        let grown = sum_last - sum_first;
        let (least, most) = (last_before - after, last_after - before);
        check!(
            (least.saturating_sub(ROUNDING)..=most + ROUNDING).contains(&grown),
            "vCPU {vcpu}: {grown} ns in {least} to {most} ns"
        );
    }
    Ok(())
}

fn all_end() -> Outcome {
    STAGE.store(END, Ordering::SeqCst);
    wake_all();
    let all = others().len() as u64;
    check!(clock::wait(30 * SECOND, || smp::counts().1 == all), "{} of {all} have ended", smp::counts().1);
    Ok(())
}

//! Starting the other CPUs, and stopping them.
//!
//! CPUs are started one after the other (INIT, STARTUP, STARTUP). Each sets itself up, has its TSC compared, and
//! idles until [`release`]; then it enters [`crate::start::secondary_cpu`].
#![allow(unsafe_code, reason = "starts CPUs")]

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;
use tenon_core::frame::Maddr;
use tenon_core::ids::CpuId;
use tenon_core::machine::{CpuIds, MAX_CPUS};
use tenon_core::options::Options;
use tenon_core::sync;

mod trampoline;
mod tsc;

use trampoline::Trampoline;
pub use trampoline::choose_page;
pub use tsc::all_agree as tscs_agree;

use crate::acpi::acpi;
use crate::apic::local;
use crate::cpu::{self, Cpu};
use crate::mm::paging;
use crate::time::{self, MILLISECOND, timer};
use crate::{irq, panic, start, watchdog};

/// From INIT to the first STARTUP; the MP specification's value for every CPU since.
const INIT_DELAY: u64 = 10 * MILLISECOND;
/// From one STARTUP to the next.
const STARTUP_DELAY: u64 = 200_000;
/// How long a CPU may take to show up.
const START_PATIENCE: u64 = 2_000 * MILLISECOND;

static OPTIONS: Once<Options<'static>> = Once::new();
static RELEASED: AtomicBool = AtomicBool::new(false);

/// Makes the data of all CPUs that will be used, the boot CPU's first, and puts the boot CPU on its own tables.
///
/// # Errors
/// [`MapError`](paging::MapError), where memory is short.
///
/// # Safety
/// Once, on the boot CPU, with the local APIC chosen.
pub unsafe fn init_cpus(options: &Options<'static>) -> Result<(), paging::MapError> {
    OPTIONS.call_once(|| *options);
    // A kick says nothing by itself: whoever is kicked looks at its work.
    irq::register(irq::KICK, |_| watchdog::resume());
    let boot_id = local::id();
    let listed = &acpi().cpus;
    let (boot, others): (Vec<_>, Vec<_>) = listed.iter().partition(|ids| ids.apic == boot_id);
    let boot = boot.first().copied().unwrap_or(CpuIds { apic: boot_id, acpi: 0 });
    let limit = if options.nosmp { 1 } else { options.maxcpus.map_or(usize::MAX, |max| max.max(1) as usize) };
    if listed.len().min(limit) > MAX_CPUS {
        log::warn!("{} CPUs, of which the first {MAX_CPUS} are used: that is the limit", listed.len());
    }
    let mut cpus = Vec::new();
    for (index, ids) in [boot].into_iter().chain(others).enumerate().take(limit.min(MAX_CPUS)) {
        cpus.push(Cpu::new(CpuId(index as u32), ids)?);
    }
    let boot = cpus[0];
    cpu::set_all(cpus);
    // SAFETY: the boot CPU, for the first time.
    unsafe { boot.enter() };
    sync::check_on(|| cpu::try_this().filter(|_| !panic::is_under_way()).map(|cpu| cpu.id));
    Ok(())
}

/// Starts all other CPUs, each up to its idle loop. One that does not come is left out and named.
///
/// # Safety
/// Once, on the boot CPU, with time running; `page` is a page for the trampoline (see [`choose_page`]).
pub unsafe fn start_others(page: Maddr) {
    let others = cpu::all().get(1..).unwrap_or_default();
    if others.is_empty() {
        return;
    }
    // SAFETY: the caller's promise.
    let Some(mut trampoline) = (unsafe { Trampoline::new(page, secondary_entry) }) else {
        log::error!("no memory below 4 GiB for starting CPUs");
        return;
    };
    let mut missing = false;
    for cpu in others {
        trampoline.prepare(cpu);
        if start_one(cpu, trampoline.startup_page()) {
            tsc::compare_as_boot_cpu(cpu);
        } else {
            log::error!("{} (APIC id {}) did not start", cpu.id, cpu.ids.apic);
            missing = true;
        }
    }
    // A CPU that did not come may yet: its way in must stay then.
    if !missing {
        // SAFETY: all that were started have left it.
        unsafe { trampoline.finish() };
    }
}

fn start_one(cpu: &'static Cpu, page: u8) -> bool {
    let up = || cpu.online.load(Ordering::Acquire);
    let wait = |nanoseconds: u64| {
        let end = time::now() + nanoseconds;
        while !up() && time::now() < end {
            core::hint::spin_loop();
        }
    };
    local::send_init(cpu.ids.apic);
    time::spin_for(INIT_DELAY);
    for delay in [STARTUP_DELAY, START_PATIENCE] {
        if !up() {
            local::send_startup(cpu.ids.apic, page);
            wait(delay);
        }
    }
    up()
}

/// The first Rust of a CPU that starts, on its own stack and the trampoline's page tables.
extern "C" fn secondary_entry(cpu: &'static Cpu) -> ! {
    // SAFETY: this CPU's first time, in this order: NX and PAT, the final page tables, its own descriptor tables.
    unsafe {
        paging::enter();
        if let Some(options) = OPTIONS.get() {
            cpu::control::init(options);
        }
        cpu.enter();
    }
    local::init_this_cpu();
    timer::init_this_cpu();
    tsc::compare_as_other_cpu();
    while !RELEASED.load(Ordering::Acquire) {
        irq::wait();
    }
    start::secondary_cpu()
}

/// Lets the other CPUs go on into [`crate::start::secondary_cpu`].
pub fn release() {
    RELEASED.store(true, Ordering::Release);
    for cpu in cpu::online().filter(|cpu| cpu.id != cpu::this().id) {
        kick(cpu);
    }
}

/// Gets a CPU out of idle, or out of a guest.
pub fn kick(cpu: &Cpu) {
    local::send(cpu.ids.apic, irq::KICK);
}

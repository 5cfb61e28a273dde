//! The IOMMUs: what stands between the machine's devices and its memory.
//!
//! All devices are domain 0's. So every unit translates for every device by the same tables, which follow what domain 0
//! has mapped (`DomainMemory`); no list of devices is needed, and one that appears later is confined like the others.
//! The units begin to translate just before domain 0 starts. Either all of them are used or none.
//!
//! Locks: each unit's queue has one, taken under the p2m's. Faults are reported from an interrupt handler, without any.
#![allow(unsafe_code, reason = "maps the units' registers")]

mod amd;
mod queue;
mod vtd;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;
use tenon_core::acpi::{Dmar, IommuError, Ivrs, Reserved};
use tenon_core::dom0_map::{Dom0Map, Place};
use tenon_core::domain::DomainMemory;
use tenon_core::frame::{Gfn, Maddr, Mfn, PAGE_SHIFT};
use tenon_core::ids::Vector;
use tenon_core::iommu::{DmaRun, Fault, FaultLimit, vtd::Unusable};
use tenon_core::options::IommuOptions;
use tenon_core::p2m::{Access, Dma, Format, Level, P2mError};
use tenon_core::sync::{Class, Lock};
use tenon_core::time::Nanos;
use tenon_core::vpci::Bdf;

use crate::acpi::acpi;
use crate::host::{self, Backend, Host, HostTables};
use crate::mm::mmio::Mmio;
use crate::mm::vmap::{self, Caching};
use crate::{cpu, irq, time};
use queue::Queue;

tenon_core::errors! {
    /// Why the IOMMUs are not used.
    #[derive(Clone, Copy, Debug)]
    pub enum Failed {
        /// The command line wants one.
        Required => "iommu=force asks for an IOMMU, and none is used";
        /// The table is damaged.
        Acpi(table: &'static str, why: IommuError) => "IOMMU: ACPI table {table}: {why}";
        /// A VT-d unit that lacks something.
        Vtd(at: Maddr, why: Unusable) => "IOMMU at {at}: {why}";
        /// VT-d units that have too little in common.
        Mixed(why: Unusable) => "the IOMMUs taken together: {why}";
        /// A unit's registers cannot be mapped.
        Unmapped(at: Maddr) => "IOMMU at {at}: its registers cannot be mapped";
        /// A unit does not do as it is told.
        Stuck(at: Maddr) => "IOMMU at {at}: no answer to a command within a second";
        /// No memory for tables or a queue.
        NoMemory => "IOMMU: no memory for its tables";
        /// No vector.
        NoVector => "IOMMU: no vector is left for its faults";
    }
    passes on {
        /// Domain 0's memory cannot be mapped.
        P2m(P2mError);
    }
}

/// A unit, as its kind has it.
trait Driver: Send + Sync {
    /// Where its registers are.
    fn at(&self) -> Maddr;

    /// A ring for its commands; `None` without memory.
    fn queue(&self) -> Option<Queue>;

    /// Makes it translate for all devices by the tables at `root`, whatever the firmware had it do. From then on its
    /// faults are told by `message`.
    fn enable(&self, root: Mfn, iommu: &Iommu, queue: &mut Queue, message: (u64, u32)) -> Result<(), Failed>;

    /// Has it forget translations. False if it does not answer.
    fn forget(&self, runs: &[DmaRun], queue: &mut Queue) -> bool;

    /// Takes the faults that it has recorded. The others that it tells of are logged; says whether any were lost.
    fn report(&self, on_fault: &mut dyn FnMut(Fault)) -> bool;

    /// Whether it is that PCI function.
    fn is_function(&self, _function: Bdf) -> bool {
        false
    }
}

/// A unit that is used.
struct Unit {
    driver: Box<dyn Driver>,
    queue: Lock<Queue>,
}

/// The IOMMUs, all of them of one kind.
struct Iommu {
    units: Vec<Unit>,
    format: Dma,
    tables: HostTables,
    reserved: Vec<Reserved>,
}

impl Iommu {
    fn new(
        drivers: impl Iterator<Item = Box<dyn Driver>>,
        format: Dma,
        snooped: bool,
        reserved: Vec<Reserved>,
    ) -> Result<Self, Failed> {
        let unit =
            |driver: Box<dyn Driver>| Some(Unit { queue: Lock::new(Class::Iommu, driver.queue()?), driver });
        let units = drivers.map(unit).collect::<Option<_>>().ok_or(Failed::NoMemory)?;
        Ok(Self { units, format, tables: HostTables { snooped }, reserved })
    }
}

static IOMMU: Once<Iommu> = Once::new();
/// Where units have their registers, used or not: domain 0 keeps its hands off them.
static REGISTERS: Once<Vec<(Maddr, u64)>> = Once::new();
/// Whether the units translate. Before, they know nothing that they could forget.
static CONFINED: AtomicBool = AtomicBool::new(false);
static LIMIT: FaultLimit = FaultLimit::new();

/// Whether devices are confined, or are to be once domain 0 starts.
pub fn is_used() -> bool {
    IOMMU.get().is_some()
}

/// Whether the units' tables, if there are any, have 1 GiB pages.
pub fn has_giant_pages() -> bool {
    IOMMU.get().is_none_or(|iommu| iommu.format.max_leaf() >= Level::GIGA)
}

/// Where units have their registers: address and length.
pub fn registers() -> impl Iterator<Item = (Maddr, u64)> {
    REGISTERS.get().into_iter().flatten().copied()
}

/// Whether a PCI function is a unit, which is not for domain 0.
pub fn is_unit(function: Bdf) -> bool {
    IOMMU.get().is_some_and(|iommu| iommu.units.iter().any(|unit| unit.driver.is_function(function)))
}

/// Finds the units and sees whether they can be used. Nothing is switched on.
///
/// # Errors
/// The administrator wants one, and there is none.
pub fn init(options: &IommuOptions) -> Result<(), Failed> {
    match find(options.verbose) {
        Ok(Some(iommu)) if options.on => {
            IOMMU.call_once(|| iommu);
        }
        Ok(Some(_)) => log::info!("IOMMU: not used (iommu=off)"),
        Ok(None) => {}
        Err(why) => log::error!("{why}"),
    }
    if options.required && !is_used() { Err(Failed::Required) } else { Ok(()) }
}

fn find(verbose: bool) -> Result<Option<Iommu>, Failed> {
    let level = if verbose { log::Level::Info } else { log::Level::Debug };
    if let Some(table) = acpi().find(b"DMAR") {
        let dmar = Dmar::new(table).map_err(|why| Failed::Acpi("DMAR", why))?;
        REGISTERS.call_once(|| dmar.units.iter().map(|unit| (unit.registers, unit.len as u64)).collect());
        vtd::open(dmar, level).map(Some)
    } else if let Some(table) = acpi().find(b"IVRS") {
        let ivrs = Ivrs::new(table).map_err(|why| Failed::Acpi("IVRS", why))?;
        REGISTERS.call_once(|| ivrs.units.iter().map(|unit| (unit.registers, amd::LEN as u64)).collect());
        amd::open(ivrs, level).map(Some)
    } else {
        Ok(None)
    }
}

fn map(at: Maddr, len: usize) -> Result<Mmio, Failed> {
    // SAFETY: a unit's registers, by the ACPI tables; domain 0 does not get them.
    unsafe { vmap::map_device(at, len, Caching::Uncached) }.map_err(|_| Failed::Unmapped(at))
}

/// Waits for what a unit does at once when it works.
fn within_a_second(condition: impl Fn() -> bool) -> bool {
    let end = time::now().saturating_add(time::SECOND);
    loop {
        if condition() {
            return true;
        }
        if time::now() > end {
            // This CPU may have been away in between.
            return condition();
        }
        core::hint::spin_loop();
    }
}

/// Waits until no unit remembers these translations of domain 0's.
pub fn forget(runs: &[DmaRun]) {
    if !CONFINED.load(Ordering::Relaxed) {
        return;
    }
    for unit in IOMMU.get().iter().flat_map(|iommu| &iommu.units) {
        if !unit.driver.forget(runs, &mut unit.queue.lock()) {
            // Frames that devices may still reach cannot be given to anybody else.
            panic!("{}", Failed::Stuck(unit.driver.at()));
        }
    }
}

/// Domain 0's devices, while it is being built: for them the units are to translate, if there are any.
pub struct Devices(Option<(&'static Iommu, Mfn)>);

impl Devices {
    /// Gives them tables, before any memory is mapped.
    pub fn of<B: Backend>(memory: &DomainMemory<Host<B>>) -> Result<Self, Failed> {
        let Some(iommu) = IOMMU.get() else { return Ok(Self(None)) };
        let root = memory.translate_dma(iommu.format, iommu.tables)?;
        Ok(Self(Some((iommu, root))))
    }

    /// Lets them reach what firmware has reserved for devices, where that is nobody's memory.
    pub fn reach<B: Backend>(
        &self,
        memory: &DomainMemory<Host<B>>,
        reserved: &[(Mfn, Access)],
    ) -> Result<(), Failed> {
        Ok(reserved.iter().try_for_each(|(frame, access)| memory.map_reserved(*frame, *access))?)
    }

    /// Confines them: from now on they reach what domain 0 has mapped, and nothing else.
    pub fn confine(self) -> Result<(), Failed> {
        let Some((iommu, root)) = self.0 else { return Ok(()) };
        let vector = irq::allocate(faults_arrived).ok_or(Failed::NoVector)?;
        let message = host::message(vector, cpu::this().id);
        for unit in &iommu.units {
            unit.driver.enable(root, iommu, &mut unit.queue.lock(), message)?;
            log::info!("IOMMU at {}: confines domain 0's devices to its memory", unit.driver.at());
        }
        // Domain 0 has not run yet, so nothing has changed since they were switched on.
        CONFINED.store(true, Ordering::Relaxed);
        log::info!("IOMMU: interrupts are not remapped: a device of domain 0 can send any");
        Ok(())
    }
}

/// The frames of the ranges that firmware wants devices to reach: those that are not memory of domain 0's, which devices
/// reach anyway, nor of anybody else's.
pub fn reserved(map: &Dom0Map<'_>) -> Vec<(Mfn, Access)> {
    let mut frames = Vec::new();
    for range in IOMMU.get().iter().flat_map(|iommu| &iommu.reserved) {
        let Reserved { start, end, write } = *range;
        let places =
            || (start >> PAGE_SHIFT..end >> PAGE_SHIFT).map(|frame| (Mfn(frame), map.place(Gfn(frame))));
        if places().any(|(_, place)| matches!(place, Place::Denied | Place::Emulated)) {
            log::error!(
                "IOMMU: firmware reserves {start:#x}-{end:#x} for devices, which is not theirs: blocked"
            );
            continue;
        }
        log::info!("IOMMU: devices reach {start:#x}-{end:#x} for the firmware");
        let own = |(_, place): &(Mfn, Place)| *place != Place::Ram;
        frames.extend(places().filter(own).map(|(frame, _)| (frame, Access { write, execute: false })));
    }
    frames
}

fn faults_arrived(_: Vector) {
    for unit in IOMMU.get().iter().flat_map(|iommu| &iommu.units) {
        let lost = unit.driver.report(&mut |fault| {
            let (log, dropped) = LIMIT.admit(Nanos(time::now()));
            if dropped > 0 {
                log::warn!("IOMMU: {dropped} more accesses blocked");
            }
            if log {
                log::warn!("IOMMU: {fault}");
            }
        });
        if lost {
            log::debug!("IOMMU at {}: more accesses blocked than it could record", unit.driver.at());
        }
    }
}

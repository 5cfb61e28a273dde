//! What the machine is for: running domain 0, and whatever it creates.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;

use tenon_core::hypervisor::Hypervisor;
use tenon_core::machine::CpuMask;
use tenon_core::options::{Options, SchedGranularity, SchedulerName};
use tenon_core::run;
use tenon_core::sched::{Granularity, Policy, Sharing};

use crate::acpi::acpi;
use crate::boot::BootInfo;
use crate::host::{self, Backend, Host};
use crate::{console, cpu, debug, dom0, guest, irq, smp, svm, watchdog};

/// The boot CPU, once the machine layer is up.
pub fn boot_cpu(info: &'static BootInfo) -> ! {
    if let Some(action) = info.options.debug {
        debug::provoke(action);
    }
    let hv = prepare(info).unwrap_or_else(|reason| panic!("{reason}"));
    console::give_screen_away();
    smp::release();
    serve(hv)
}

/// Every other CPU, once it is up and the boot CPU has called [`smp::release`].
pub fn secondary_cpu() -> ! {
    enable_backend().unwrap_or_else(|reason| panic!("{}: {reason}", cpu::this().id));
    match host::hypervisor() {
        Some(hv) => serve(hv),
        None => panic!("released before the hypervisor was ready"),
    }
}

fn prepare(info: &'static BootInfo) -> Result<&'static Hypervisor<Host>, Box<dyn Error>> {
    refuse_what_is_missing(info)?;
    host::choose_backend()?;
    let own: Vec<_> = console::own_devices().collect();
    let ports: Vec<u16> = own.iter().map(|port| port.io_base).collect();
    host::init_devices(own.iter().map(|port| acpi().isa_line(port.irq).gsi).collect());
    svm::init_permissions(&ports).map_err(|_| "no memory for the permission maps")?;
    enable_backend()?;
    let hv = host::init(info, pool(info.options.isolcpus), policy(&info.options))?;
    irq::register(irq::TIMER, |_| {
        if let Some(hv) = host::hypervisor() {
            watchdog::look(hv);
            hv.sched.timer();
        }
    });
    dom0::build(hv, info)?;
    watchdog::init(&info.options);
    Ok(hv)
}

/// The CPUs that run vCPUs: those that are up, less the isolated ones unless that is all.
fn pool(isolated: CpuMask) -> CpuMask {
    let mut online = CpuMask::default();
    cpu::online().for_each(|cpu| online.insert(cpu.id));
    let pool = CpuMask(online.0 & !isolated.0);
    if pool.0 == 0 { online } else { pool }
}

/// How CPUs are shared out, and says so.
fn policy(options: &Options<'_>) -> Policy {
    let (sharing, name) = match options.sched {
        SchedulerName::Credit => (Sharing::ByWeight, "credit: by weight and cap"),
        SchedulerName::Credit2 => {
            (Sharing::ByWeight, "credit, which is meant by credit2, too: by weight and cap")
        }
        SchedulerName::Null => (Sharing::OneToOne, "null: each vCPU has a CPU to itself"),
    };
    let granularity = match options.sched_gran {
        SchedGranularity::Cpu => Granularity::Cpu,
        SchedGranularity::Core => Granularity::Core,
        SchedGranularity::Socket => {
            log::warn!("sched-gran=socket is not supported: sched-gran=core instead");
            Granularity::Core
        }
    };
    log::info!("scheduler: {name}");
    if granularity == Granularity::Core {
        log::info!("scheduler: at no time do the threads of a core run two domains");
    }
    Policy { sharing, granularity }
}

/// What the administrator insists on and is not there.
fn refuse_what_is_missing(info: &BootInfo) -> Result<(), Box<dyn Error>> {
    if info.options.iommu_required {
        return Err("iommu=force asks for an IOMMU, and Tenon has no driver for one yet".into());
    }
    Ok(())
}

fn enable_backend() -> Result<(), Box<dyn Error>> {
    guest::init_this_cpu();
    match host::backend() {
        Backend::Svm => Ok(svm::enable()?),
    }
}

/// The life of a CPU: runs what the scheduler picks, sleeps when there is nothing.
fn serve(hv: &'static Hypervisor<Host>) -> ! {
    watchdog::resume();
    loop {
        match hv.sched.pick() {
            Some(vcpu) => {
                cpu::this().set_running(Some((vcpu.domain().id, vcpu.id)));
                let deadline = run::run(hv, &vcpu);
                cpu::this().set_running(None);
                hv.sched.put(vcpu, deadline);
            }
            None => {
                if !hv.sched.should_reschedule() {
                    watchdog::rest();
                }
            }
        }
    }
}

//! What the machine is for: running domain 0, and whatever it creates.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;

use tenon_core::hypervisor::Hypervisor;
use tenon_core::options::{Options, SchedGranularity, SchedulerName};
use tenon_core::run;
use tenon_core::sched::{Granularity, Policy, Sharing};

use crate::acpi::acpi;
use crate::boot::BootInfo;
use crate::host::{self, Backend, Choice, Host, Svm, Vmx};
use crate::time::timer;
use crate::{console, cpu, debug, dom0, guest, iommu, irq, smp, watchdog};

/// The boot CPU, once the machine layer is up.
pub fn boot_cpu(info: &'static BootInfo) -> ! {
    if let Some(action) = info.options.debug {
        debug::provoke(action);
    }
    let choice = host::choose_backend().unwrap_or_else(|reason| panic!("{reason}"));
    match choice {
        Choice::Svm => begin::<Svm>(info),
        Choice::Vmx => begin::<Vmx>(info),
    }
}

fn begin<B: Backend>(info: &'static BootInfo) -> ! {
    let hv = prepare::<B>(info).unwrap_or_else(|reason| panic!("{reason}"));
    console::give_screen_away();
    smp::release();
    serve(hv)
}

/// Every other CPU, once it is up and the boot CPU has called [`smp::release`].
pub fn secondary_cpu() -> ! {
    match host::chosen_backend() {
        Some(Choice::Svm) => join::<Svm>(),
        Some(Choice::Vmx) => join::<Vmx>(),
        None => panic!("released before the hypervisor was ready"),
    }
}

fn join<B: Backend>() -> ! {
    guest::init_this_cpu();
    B::enable().unwrap_or_else(|reason| panic!("{}: {reason}", cpu::this().id));
    match host::hypervisor::<B>() {
        Some(hv) => serve(hv),
        None => panic!("released before the hypervisor was ready"),
    }
}

fn prepare<B: Backend>(info: &'static BootInfo) -> Result<&'static Hypervisor<Host<B>>, Box<dyn Error>> {
    let own: Vec<_> = console::own_devices().collect();
    let ports: Vec<u16> = own.iter().map(|port| port.io_base).collect();
    host::init_devices(own.iter().map(|port| acpi().isa_line(port.irq).gsi).collect());
    guest::permissions::init(&ports).map_err(|_| "no memory for the permission maps")?;
    guest::init_this_cpu();
    B::enable()?;
    iommu::init(&info.options.iommu)?;
    let hv = host::init::<B>(info, policy(&info.options))?;
    irq::register(irq::TIMER, |_| {
        timer::went_off();
        if let Some(hv) = host::hypervisor::<B>() {
            watchdog::look(&hv.entries);
            hv.sched.timer();
        }
    });
    console::listen(|| {
        if let Some(hv) = host::hypervisor::<B>() {
            hv.console_input();
        }
    });
    dom0::build(hv, info)?;
    watchdog::init(&info.options);
    Ok(hv)
}

/// How CPUs are shared out; says so.
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

/// The life of a CPU: runs what the scheduler picks, sleeps when there is nothing. One that is switched off finds nothing,
/// and nothing wakes it but a kick, or a timer that was set before.
fn serve<B: Backend>(hv: &'static Hypervisor<Host<B>>) -> ! {
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

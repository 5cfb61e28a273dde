//! What the machine is for.

use crate::boot::BootInfo;
use crate::{cpu, debug, irq, smp};

/// The boot CPU, once the machine layer is up.
pub fn boot_cpu(info: &'static BootInfo) -> ! {
    for module in &info.modules {
        log::info!("module at {} of {} bytes: {}", module.start, module.len, module.command_line);
    }
    smp::release();
    if let Some(action) = info.options.debug {
        debug::provoke(action);
    }
    idle()
}

/// Every other CPU, once it is up and the boot CPU has called [`smp::release`].
pub fn secondary_cpu() -> ! {
    log::info!("{} idles", cpu::this().id);
    idle()
}

fn idle() -> ! {
    loop {
        irq::wait();
    }
}

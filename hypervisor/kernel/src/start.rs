//! What the machine is for.

use crate::boot::BootInfo;

/// The boot CPU, once the machine layer is up.
pub fn boot_cpu(info: &'static BootInfo) -> ! {
    for module in &info.modules {
        log::info!("module at {} of {} bytes: {}", module.start, module.len, module.command_line);
    }
    loop {
        x86_64::instructions::hlt();
    }
}

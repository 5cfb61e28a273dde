//! What the machine is for.

use tenon_core::options::Options;

/// The boot CPU, once the machine layer is up.
pub fn boot_cpu(_options: &Options<'_>) -> ! {
    log::info!("nothing to run yet");
    loop {
        x86_64::instructions::hlt();
    }
}

//! The scenarios: test bodies, and the table that says on which machines each runs.

mod boot;
mod lifecycle;

use anyhow::Result;

use crate::config::{Boot, Config};
use crate::machine::Machine;
use crate::runner::{Emulator, Scenario};

/// Every scenario there is.
pub fn all() -> Vec<Scenario> {
    let mut table = Table(Vec::new());
    table.qemu("boot/direct-1cpu", Config::new(1), boot::to_userspace);
    table.qemu("boot/bios-4cpus", Config::new(4).boot(Boot::Bios), boot::to_userspace);
    table.qemu("boot/uefi-1cpu", Config::new(1).boot(Boot::Uefi), boot::to_userspace);
    table.qemu("lifecycle/6.1-1cpu", Config::new(1), lifecycle::guest_lives);
    table.qemu("lifecycle/6.12-4cpus", Config::new(4).kernel("6.12"), lifecycle::guest_lives);
    table.bochs("boot/vtx", boot::guest_by_scenario);
    table.0
}

struct Table(Vec<Scenario>);

impl Table {
    fn add(
        &mut self,
        name: &str,
        emulator: Emulator,
        config: Config,
        body: fn(&mut Machine) -> Result<()>,
        long: bool,
    ) {
        self.0.push(Scenario { name: name.to_owned(), emulator, config, body, long });
    }

    fn qemu(&mut self, name: &str, config: Config, body: fn(&mut Machine) -> Result<()>) {
        self.add(name, Emulator::Qemu, config, body, false);
    }

    /// Bochs has no input, one CPU and a slow one: domain 0 does a scenario of its own.
    fn bochs(&mut self, name: &str, body: fn(&mut Machine) -> Result<()>) {
        let mut config = Config::new(1).boot(Boot::Bios).memory_mib(2048).word("tenon.run=create");
        config.agent = false;
        self.add(name, Emulator::Bochs, config, body, true);
    }
}

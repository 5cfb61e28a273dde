//! The first process of a guest: loads the drivers that `guest.modules=a,b` names, gives its first network card the
//! address that `guest.address=` names, reports that userspace is up, then does what `guest.run=` says.

use std::fs;

use anyhow::{Context, Result};
use boot_init::supervise::{self, Supervisor};
use boot_init::{
    blocks, cmdline, cpus, io, kernel_release, mark, memory_mib, modules, mounts, power, stall, uptime,
};
use rustix::system::RebootCommand;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    power::act_on_name(args.first().map_or("", String::as_str));
    if let [_, "blocks", words @ ..] = args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        return blocks::run(words);
    }
    power::obey_signals()?;
    mounts::basic()?;
    mark::if_wanted("guest-up");
    if let Some(wanted) = cmdline::value("guest.modules") {
        modules::load(&wanted.split(',').collect::<Vec<_>>())?;
    }
    if let Some(address) = cmdline::value("guest.address") {
        io::configure("eth0", &address)?;
    }
    println!(
        "guest: userspace up, kernel {}, cpus {}, memory {} MiB, uptime {} s",
        kernel_release(),
        cpus(),
        memory_mib(),
        uptime()
    );
    match cmdline::value("guest.run").as_deref() {
        Some("poweroff") => power::now(RebootCommand::PowerOff),
        Some("reboot") => power::now(RebootCommand::Restart),
        Some("crash") => fs::write("/proc/sysrq-trigger", "c").context("cannot crash the kernel")?,
        Some("watch") => stall::watch(),
        Some("measure-io") => {
            if let Err(error) = io::measure() {
                println!("guest: {error:#}");
            }
            power::now(RebootCommand::PowerOff)
        }
        Some("serve-io") => io::serve()?,
        _ => {}
    }
    let mut supervisor = Supervisor::default();
    supervisor.start(supervise::shell(&boot_init::console()).context("cannot open the console")?);
    supervisor.run()
}

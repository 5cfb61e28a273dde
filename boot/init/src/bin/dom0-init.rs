//! The first process of domain 0: modules, file systems, daemons, then a shell or a scenario.
//!
//! Words of the kernel command line: `tenon.run=NAME` runs `/scenarios/NAME` and powers off,
//! `tenon.agent=PORT` serves the harness on a serial port, `tenon.modules=a,b` loads more drivers,
//! `tenon.tools=stock` starts Debian's daemons instead of ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use boot_init::supervise::{self, Service, Supervisor};
use boot_init::{
    agent, blocks, cmdline, cpus, io, kernel_release, mark, memory_mib, modules, mounts, power, uptime,
};
use rustix::system::RebootCommand;

/// What the tools and the back ends need of the kernel.
const MODULES: [&str; 5] = ["xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs"];

/// Daemons, in the order of starting. Each runs in the foreground and may be killed at any time.
const DAEMONS: [&str; 4] = ["tenon-xenstored", "tenon-consoled", "tenon-blockd", "tenon-watchd"];

/// What starts Debian's toolstack. Its daemons go to the background by themselves.
const STOCK: [&str; 5] = [
    "mkdir -p /run/xen /run/xenstored",
    "xenstored",
    "xen-init-dom0",
    "xenconsoled --log=all",
    "xenstore-ls /local",
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    power::act_on_name(args.first().map_or("", String::as_str));
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "agent", port] => return agent::serve(port),
        [_, "serve-io"] => return io::serve(),
        [_, "blocks", words @ ..] => return blocks::run(words),
        [_, "mark", name] => return mark::write(name).context("cannot write the mark"),
        _ => {}
    }
    power::obey_signals()?;
    mounts::basic()?;
    mark::if_wanted("dom0-up");
    println!(
        "dom0: userspace, kernel {}, cpus {}, memory {} MiB, uptime {} s",
        kernel_release(),
        cpus(),
        memory_mib(),
        uptime()
    );
    complain(modules::load(&MODULES));
    complain(mounts::xenfs());
    let mut supervisor = Supervisor::default();
    if cmdline::value("tenon.tools").as_deref() == Some("stock") {
        for command in STOCK {
            complain(shell(command));
        }
    } else {
        for daemon in DAEMONS {
            let path = format!("/usr/sbin/{daemon}");
            if Path::new(&path).exists() {
                supervisor.start(Service::new(daemon, Command::new(path)));
            }
        }
    }
    if let Some(more) = cmdline::value("tenon.modules") {
        complain(modules::load(&more.split(',').collect::<Vec<_>>()));
    }
    println!("dom0: up, uptime {} s", uptime());
    if let Some(scenario) = cmdline::value("tenon.run") {
        run_scenario(&scenario);
    }
    if let Some(port) = cmdline::value("tenon.agent") {
        let mut command = Command::new("/proc/self/exe");
        command.args(["agent", &port]);
        supervisor.start(Service::new("agent", command));
    }
    supervisor.start(supervise::shell(&boot_init::console()).context("cannot open the console")?);
    supervisor.run()
}

/// Runs the commands of a scenario file, one per line, up to the first that fails; then switches off.
fn run_scenario(name: &str) -> ! {
    let path = format!("/scenarios/{name}");
    let verdict = match fs::read_to_string(&path) {
        Ok(commands) => commands
            .lines()
            .try_for_each(run_step)
            .map_or_else(|e| format!("failed: {e}"), |()| "passed".into()),
        Err(error) => format!("failed: {path}: {error}"),
    };
    println!("dom0: scenario {name} {verdict}");
    power::now(RebootCommand::PowerOff)
}

fn run_step(command: &str) -> Result<(), String> {
    println!("dom0: $ {command}");
    shell(command).map_err(|error| format!("{error:#}"))
}

fn shell(command: &str) -> Result<()> {
    let status = Command::new("/bin/sh").args(["-c", command]).env("PATH", agent::PATH).status();
    let status = status.context("cannot start /bin/sh")?;
    anyhow::ensure!(status.success(), "{command}: {status}");
    Ok(())
}

/// A part that fails is told and lived without: a shell in a half-started domain 0 is worth having.
fn complain(result: Result<()>) {
    if let Err(error) = result {
        println!("dom0: {error:#}");
    }
}

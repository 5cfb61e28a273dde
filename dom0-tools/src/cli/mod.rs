//! The `tenon` command: its verbs, and how each prints and ends.

mod block;
mod console;
mod create;
mod device;
mod exit;
mod info;
mod list;
mod log;
mod mem;
mod network;
mod new_file;
mod output;
mod pool;
mod power;
mod raw;
mod sched;
mod screen;
mod top;
mod trace;
mod undo;
mod vcpus;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use exit::{Exit, Failure};

use crate::balloon::Autoballoon;
use crate::config::CpuList;
use crate::top::Sort;

/// Creates and controls the guests of this host.
#[derive(Debug, Parser)]
#[command(name = "tenon", version, about, after_help = exit::HELP, disable_help_subcommand = true)]
pub struct Cli {
    /// Prints results, and errors, as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Creates a guest from its guest file and starts it.
    Create(CreateArgs),
    /// Lists the domains.
    List {
        /// Only this one: a name, a number or a UUID.
        domain: Option<String>,
    },
    /// Shows the hypervisor and the machine.
    Info,
    /// Connects this terminal to a guest's console; Ctrl-] leaves it.
    ///
    /// With --json it only tells where the console and its log are.
    Console(Domain),
    /// Lets all of a domain's vCPUs wait.
    Pause(Domain),
    /// Lets a paused domain go on.
    Unpause(Domain),
    /// Asks a guest to power off.
    Shutdown(RequestArgs),
    /// Asks a guest to reboot.
    Reboot(RequestArgs),
    /// Removes a domain at once, as if its power were cut.
    Destroy(Domain),
    /// Waits for something to happen to a guest.
    Wait(WaitArgs),
    /// Gives a guest a disk.
    BlockAttach(block::AttachArgs),
    /// Takes a disk from a guest.
    BlockDetach(device::DetachArgs),
    /// Lists a guest's disks.
    BlockList(Domain),
    /// Gives a guest a network card.
    NetworkAttach(network::AttachArgs),
    /// Takes a network card from a guest.
    NetworkDetach(device::DetachArgs),
    /// Lists a guest's network cards.
    NetworkList(Domain),
    /// Lists the vCPUs: where they run, what they do, and on which CPUs they may run.
    VcpuList {
        /// Only this domain's: a name, a number or a UUID.
        domain: Option<String>,
    },
    /// Lets vCPUs of a domain run on some CPUs only.
    VcpuPin(PinArgs),
    /// Asks a domain's kernel to use so many of its vCPUs.
    VcpuSet(SetArgs),
    /// Asks a domain's kernel to have so much memory, and waits until it has.
    MemSet(MemSetArgs),
    /// Changes how much memory a domain may have.
    MemMax(MemMaxArgs),
    /// Lists, or changes, how much CPU time domains get.
    Sched(SchedArgs),
    /// Lists, makes and changes CPU pools.
    #[command(subcommand)]
    Pool(pool::PoolCommand),
    /// Switches CPUs of the machine on and off.
    #[command(subcommand)]
    Cpu(pool::CpuCommand),
    /// Shows what the domains do: CPU use, waiting time, memory, exits.
    ///
    /// Keys: q quits; c, w, m, e and n sort by CPU use, waiting time, memory, exits and number; x shows exits kind by
    /// kind; the arrows scroll. With --json it prints one reading, as with --once.
    Top(TopArgs),
    /// Shows the hypervisor's log.
    Dmesg {
        /// Empties the log.
        #[arg(long, short)]
        clear: bool,
        /// First has the hypervisor say more: q what domains have, v where vCPUs are; h says what else there is.
        #[arg(long, value_name = "KEYS")]
        keys: Option<String>,
    },
    /// Records what CPUs and guests do, for a look at ui.perfetto.dev.
    Trace(trace::TraceArgs),
}

#[derive(Debug, Args)]
struct Domain {
    /// A name, a number or a UUID.
    domain: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The guest file: xl.cfg syntax, or TOML if its name ends in .toml.
    file: PathBuf,
    /// Leaves the guest paused.
    #[arg(long, short)]
    paused: bool,
    /// Connects this terminal to the guest's console.
    #[arg(long, short, conflicts_with = "json")]
    console: bool,
    /// Whether domain 0 gives memory back if the guest's is not free. "auto" does not if the hypervisor was started with
    /// dom0_mem=.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    autoballoon: Autoballoon,
}

#[derive(Debug, Args)]
struct MemSetArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// How much: in MiB, or with a unit, as in 768m or 2g.
    #[arg(value_parser = mem::size)]
    size: u64,
    /// Seconds to wait at most; without it, as long as the domain's memory changes.
    #[arg(long)]
    timeout: Option<u64>,
}

#[derive(Debug, Args)]
struct MemMaxArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// How much: in MiB, or with a unit, as in 768m or 2g.
    #[arg(value_parser = mem::size)]
    size: u64,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// What to wait for.
    #[arg(long = "for", value_enum, default_value_t = wait::What::Shutdown)]
    what: wait::What,
    /// Seconds to wait at most; without it, as long as it takes.
    #[arg(long)]
    timeout: Option<u64>,
}

#[derive(Debug, Args)]
struct RequestArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// Waits until the guest has done it.
    #[arg(long, short)]
    wait: bool,
    /// Seconds to wait at most; without it, as long as it takes.
    #[arg(long, requires = "wait")]
    timeout: Option<u64>,
}

#[derive(Debug, Args)]
struct PinArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// The number of a vCPU, or "all".
    vcpu: vcpus::Which,
    /// CPUs, as in "0-3,^2"; "all" is all CPUs.
    cpus: CpuList,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// How many: at least 1, at most as many as the domain has.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

#[derive(Debug, Args)]
struct SchedArgs {
    /// Only this domain: a name, a number or a UUID.
    domain: Option<String>,
    /// Its vCPUs' share of the CPUs, relative to the others': 1 to 65535; 256 is normal.
    #[arg(long, requires = "domain", value_parser = clap::value_parser!(u16).range(1..))]
    weight: Option<u16>,
    /// The most that its vCPUs use together, in percent of one CPU; 0 for no limit.
    #[arg(long, requires = "domain", value_name = "PERCENT")]
    cap: Option<u16>,
}

#[derive(Debug, Args)]
struct TopArgs {
    /// Prints one table, of what happens during one interval, and ends.
    #[arg(long)]
    once: bool,
    /// Shows exits per second kind by kind.
    #[arg(long)]
    exits: bool,
    /// The order of the domains.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Seconds from one reading to the next.
    #[arg(long, value_name = "SECS", default_value = "2", value_parser = top::interval)]
    interval: Duration,
}

/// Runs the command line and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure, cli.json);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Create(args) => create::run(args, cli.json),
        Command::List { domain } => list::run(domain.as_deref(), cli.json),
        Command::Info => info::run(cli.json),
        Command::Console(args) => console::run(&args.domain, cli.json),
        Command::Wait(args) => wait::run(args, cli.json),
        Command::Pause(args) => power::pause(&args.domain, cli.json),
        Command::Unpause(args) => power::unpause(&args.domain, cli.json),
        Command::Shutdown(args) => power::request(args, power::Request::Poweroff, cli.json),
        Command::Reboot(args) => power::request(args, power::Request::Reboot, cli.json),
        Command::Destroy(args) => power::destroy(&args.domain, cli.json),
        Command::BlockAttach(args) => block::attach(args, cli.json),
        Command::BlockDetach(args) => block::detach(args, cli.json),
        Command::BlockList(args) => block::list(&args.domain, cli.json),
        Command::NetworkAttach(args) => network::attach(args, cli.json),
        Command::NetworkDetach(args) => network::detach(args, cli.json),
        Command::NetworkList(args) => network::list(&args.domain, cli.json),
        Command::VcpuList { domain } => vcpus::list(domain.as_deref(), cli.json),
        Command::VcpuPin(args) => vcpus::pin(args, cli.json),
        Command::VcpuSet(args) => vcpus::set(args, cli.json),
        Command::MemSet(args) => mem::set(args, cli.json),
        Command::MemMax(args) => mem::max(args, cli.json),
        Command::Sched(args) => sched::run(args, cli.json),
        Command::Pool(command) => pool::run(command, cli.json),
        Command::Cpu(command) => pool::switch(command, cli.json),
        Command::Top(args) => top::run(args, cli.json),
        Command::Trace(args) => trace::run(args, cli.json),
        Command::Dmesg { clear, keys } => log::run(*clear, keys.as_deref(), cli.json),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_no_domain_can_have_is_refused_at_once() {
        for line in [
            "tenon sched web --weight 0",
            "tenon sched web --weight 65536",
            "tenon sched --weight 5",
            "tenon sched --cap 5",
            "tenon vcpu-set web 0",
            "tenon mem-set web 0",
            "tenon mem-set web 12x",
            "tenon vcpu-pin web 0 3-1",
            "tenon vcpu-pin web x 1",
            "tenon pool create",
            "tenon pool add-cpu fast 3-1",
            "tenon cpu off x",
            "tenon block-attach web",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        assert!(Cli::try_parse_from(["tenon", "vcpu-pin", "0", "all", "0-3,^2"]).is_ok());
    }

    #[test]
    fn json_is_accepted_everywhere() {
        for line in
            ["tenon list --json", "tenon --json create x.cfg", "tenon shutdown 5 --wait --timeout 3 --json"]
        {
            assert!(Cli::try_parse_from(line.split(' ')).unwrap().json);
        }
    }
}

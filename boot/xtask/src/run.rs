//! `cargo xtask run`: the main job. Everything is set up and built, a machine boots, a guest comes up
//! in it, and the user gets domain 0's shell. Without a terminal the machine is switched off instead.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use machine_tests::{Boot, Config, Hypervisor, Machine, Model};

use crate::kernels::Series;
use crate::kit::{Kit, Wanted};
use crate::packages::Need;
use crate::step;
use crate::workspace::Workspace;

#[derive(Args)]
pub struct RunArgs {
    /// Start by UEFI (OVMF) instead of BIOS (SeaBIOS).
    #[arg(long, conflicts_with = "direct")]
    uefi: bool,
    /// Let QEMU load the hypervisor (multiboot1), without GRUB.
    #[arg(long)]
    direct: bool,
    /// A machine with an Intel CPU, under Bochs. It has one CPU.
    #[arg(long, conflicts_with_all = ["uefi", "direct", "cpus", "qemu_args", "xen"])]
    intel: bool,
    /// CPUs for guests and domain 0. Unless it is 1, the machine has one more (docs, "Tests leave QEMU's CPU 0 without guests").
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Memory of the machine in MiB, at least 768. 4096 unless said; under Bochs 2048, which is also the most there.
    #[arg(long)]
    memory: Option<u32>,
    /// Domain 0's kernel: a bzImage whose modules are in ../lib/modules beside it or in /lib/modules. Debian's 6.1 is
    /// the default.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// More arguments for QEMU, separated by spaces.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    qemu_args: Option<String>,
    /// More options for the hypervisor.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    options: Option<String>,
    /// More words for domain 0's kernel.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// Use this hypervisor instead of the built one.
    #[arg(long, value_name = "FILE")]
    hypervisor: Option<PathBuf>,
    /// The hypervisor of --hypervisor is stock Xen, so use Debian's xl.
    #[arg(long, requires = "hypervisor")]
    xen: bool,
}

/// What domain 0 gets of a machine with memory to spare, and what it needs, in MiB.
const DOM0_MIB: std::ops::RangeInclusive<u32> = 384..=1024;
/// Kept for the guest (256 MiB), for Tenon and for what the boot loader loads, in MiB.
const REST_MIB: u32 = 384;

/// The memory of the machine unless said, and the most that Bochs takes, in MiB.
const MEMORY_MIB: u32 = 4096;
const BOCHS_MIB: u32 = 2048;

/// The prompt of busybox's shell for root in `/`.
const PROMPT: &str = "/ # ";

pub fn run(ws: Workspace, args: &RunArgs) -> Result<()> {
    let config = config(args)?;
    let kit = Kit::assemble(
        ws,
        &Wanted {
            needs: if args.intel { &[Need::Images, Need::Bochs] } else { &[Need::Images, Need::Qemu] },
            dom0: &[Series::V6_1],
            guests: &[Series::V6_1],
            stock_tools: args.xen,
            debian: false,
            kernel: args.kernel.as_deref(),
            hypervisor: args.hypervisor.as_deref(),
        },
    )?;
    let mut machine = if args.intel {
        Machine::start_bochs(&kit, "run", config, Model::Haswell)?
    } else {
        Machine::start(&kit, "run", config)?
    };
    step::say(format!("the machine runs; its logs are in {}", kit_logs(&kit)));
    let up = guest_comes_up(&mut machine, args);
    if std::io::stdin().is_terminal() && up.is_ok() {
        return crate::terminal::hand_over(machine);
    }
    up.with_context(|| format!("the guest did not come up\n{}", machine.last_words()))?;
    step::say("no terminal: switching off");
    machine.type_in("poweroff\n")?;
    machine.expect_end(Duration::from_secs(if args.intel { 300 } else { 60 }))?;
    step::say("the guest came up and the machine has switched itself off");
    Ok(())
}

fn kit_logs(kit: &Kit) -> String {
    use machine_tests::Images;
    kit.logs().join("run").display().to_string()
}

/// Domain 0's share of `machine` MiB.
fn dom0_mib(machine: u32) -> Result<u32> {
    let (least, most) = (*DOM0_MIB.start(), *DOM0_MIB.end());
    let rest = machine.saturating_sub(REST_MIB);
    if rest < least {
        bail!(
            "--memory {machine} is too little: domain 0 needs {least} MiB, the guest and Tenon {REST_MIB} MiB"
        );
    }
    Ok(rest.min(most))
}

/// The machine's memory in MiB.
fn memory_mib(wanted: Option<u32>, intel: bool) -> Result<u32> {
    let most = if intel { BOCHS_MIB } else { u32::MAX };
    match wanted {
        Some(wanted) if wanted > most => bail!("--memory {wanted} is too much: Bochs has at most {most} MiB"),
        Some(wanted) => Ok(wanted),
        None => Ok(MEMORY_MIB.min(most)),
    }
}

fn config(args: &RunArgs) -> Result<Config> {
    let boot = if args.uefi {
        Boot::Uefi
    } else if args.direct {
        Boot::Direct
    } else {
        Boot::Bios
    };
    let cpus = if args.intel { 1 } else { args.cpus };
    let memory = memory_mib(args.memory, args.intel)?;
    let mut config = Config::new(cpus).memory_mib(memory).boot(boot);
    config.options = format!("dom0_mem={}M", dom0_mib(memory)?);
    if args.xen {
        config.hypervisor = Hypervisor::Xen;
        config = config.stock_tools().word("tenon.tools=stock");
    }
    config = config.option(args.options.as_deref().unwrap_or_default());
    config = config.qemu(args.qemu_args.as_deref().unwrap_or_default().split_whitespace());
    config = config.word(args.cmdline.as_deref().unwrap_or_default());
    config.agent = false;
    config.show = true;
    Ok(config)
}

/// Does by hand, on the console, what a user would do first.
fn guest_comes_up(machine: &mut Machine, args: &RunArgs) -> Result<()> {
    // Bochs takes its time.
    let seconds = |usual| Duration::from_secs(if args.intel { usual * 4 } else { usual });
    machine.expect("dom0: up", seconds(300))?;
    machine.expect_prompt(PROMPT, seconds(60))?;
    let tool = if args.xen { "xl" } else { "tenon" };
    machine.type_in(&format!("{tool} create /etc/tenon/guest.cfg\n"))?;
    machine.expect_prompt(PROMPT, seconds(120))?;
    machine.type_in(&format!("{tool} console guest\n"))?;
    machine.expect("guest: userspace up", seconds(180))?;
    machine.type_in("\x1d")?;
    machine.expect_prompt(PROMPT, seconds(60))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{dom0_mib, memory_mib};

    #[test]
    fn domain_0_leaves_room_for_a_guest() {
        assert_eq!(dom0_mib(4096).unwrap(), 1024);
        assert_eq!(dom0_mib(1024).unwrap(), 640);
        assert_eq!(dom0_mib(768).unwrap(), 384);
        let refusal = dom0_mib(767).unwrap_err().to_string();
        assert!(refusal.contains("--memory 767") && refusal.contains("384 MiB"), "{refusal}");
    }

    #[test]
    fn a_machine_under_bochs_gets_what_bochs_has() {
        assert_eq!(memory_mib(None, false).unwrap(), 4096);
        assert_eq!(memory_mib(None, true).unwrap(), 2048);
        assert_eq!(memory_mib(Some(8192), false).unwrap(), 8192);
        assert_eq!(memory_mib(Some(1024), true).unwrap(), 1024);
        let refusal = memory_mib(Some(4096), true).unwrap_err().to_string();
        assert!(refusal.contains("--memory 4096") && refusal.contains("2048 MiB"), "{refusal}");
    }
}

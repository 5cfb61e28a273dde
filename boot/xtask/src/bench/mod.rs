//! `cargo xtask bench`: one line `name value unit` per figure.
//!
//! One CPU under QEMU with `-icount shift=0,sleep=off`: the time stamp counter counts instructions and
//! runs repeat almost exactly. The hypervisor's log carries the counter (`console_timestamps=raw`),
//! domains write marks and figures to it through their debug port, and we subtract. Stock Xen does
//! all of this, too, so `--xen` measures it the same way.
//!
//! `--io` measures what guests' disks and networks cost, all of the machine together: guests, domain 0, hypervisor.
//!
//! `--intel` measures VT-x under Bochs, whose time stamp counter counts instructions as well, with the measuring guest
//! in domain 0's place. A null hypercall is written down instruction by instruction, and its VMREADs and VMWRITEs counted.

mod beside;
mod exits;
mod lines;
mod log;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use machine_tests::{Boot, Config, Hypervisor, Images, Machine, Model};

use self::beside::Figure;
use crate::apt::{Apt, Arch};
use crate::kernels::Series;
use crate::kit::{Kit, Wanted};
use crate::packages::Need;
use crate::step;
use crate::workspace::Workspace;

#[derive(Args)]
pub struct BenchArgs {
    /// Measure Debian's Xen 4.17 instead.
    #[arg(long)]
    xen: bool,
    /// Measure both, and fail if Tenon takes more than it may of what Xen takes.
    #[arg(long, conflicts_with = "xen")]
    beside_xen: bool,
    /// Measure VT-x, under Bochs: what single exits cost.
    #[arg(long, conflicts_with_all = ["xen", "beside_xen"])]
    intel: bool,
    /// Count the exits of domain 0 and of a guest up to its userspace, by kinds, on AMD-V and on VT-x, both under Bochs.
    #[arg(long, conflicts_with_all = ["xen", "beside_xen", "intel", "io"])]
    exits: bool,
    /// Measure disks and networks of guests.
    #[arg(long, conflicts_with = "intel")]
    io: bool,
    /// Show the machine's console.
    #[arg(long)]
    show: bool,
}

/// The longest a machine may take; the log grows all the time, but nothing else tells of a hang.
const PATIENCE: Duration = Duration::from_secs(900);

pub fn bench(ws: Workspace, args: &BenchArgs) -> Result<()> {
    if args.intel {
        return bench_intel(ws, args);
    }
    if args.exits {
        return exits::bench(ws, args.show);
    }
    if !args.beside_xen {
        let subject = if args.xen { Hypervisor::Xen } else { Hypervisor::Tenon };
        for figure in figures(ws, subject, args)? {
            println!("{figure}");
        }
        return Ok(());
    }
    let tenon = figures(ws.clone(), Hypervisor::Tenon, args)?;
    let xen = figures(ws, Hypervisor::Xen, args)?;
    let (lines, verdict) = beside::compare(&tenon, &xen);
    for line in lines {
        println!("{line}");
    }
    verdict
}

/// Measures one of the two.
fn figures(ws: Workspace, subject: Hypervisor, args: &BenchArgs) -> Result<Vec<Figure>> {
    let is_xen = subject == Hypervisor::Xen;
    let xen = is_xen.then(|| stock_xen(&ws)).transpose()?;
    let root = ws.root.clone();
    let kit = Kit::assemble(
        ws,
        &Wanted {
            needs: &[Need::Qemu],
            dom0: &[Series::V6_1],
            guests: &[Series::V6_1],
            stock_tools: is_xen,
            debian: false,
            kernel: None,
            hypervisor: xen.as_deref(),
        },
    )?;
    let name = format!("bench{}{}", if args.io { "-io" } else { "" }, if is_xen { "-xen" } else { "" });
    let name = name.as_str();
    let mut machine = Machine::start(&kit, name, config(subject, args))?;
    step::say(format!("measuring; the console's log is in {}", kit.logs().join(name).display()));
    let verdict = measure(&mut machine).with_context(|| machine.last_words())?;
    drop(machine);
    ensure!(verdict.contains("passed"), "{verdict}");
    let console = fs::read(kit.logs().join(name).join("console.log"))?;
    let mut lines = log::figures(&String::from_utf8_lossy(&console));
    if !is_xen && !args.io {
        lines.push(format!("hypervisor-code {} lines", lines::hypervisor(&root)?));
    }
    lines.iter().map(|line| Figure::parse(line)).collect()
}

fn bench_intel(ws: Workspace, args: &BenchArgs) -> Result<()> {
    let wanted = Wanted { needs: &[Need::Images, Need::Bochs], ..Wanted::default() };
    let kit = Kit::assemble(ws, &wanted)?;
    let name = "bench-intel";
    let mut config = Config::program(1, "figures").boot(Boot::Bios).option("console_timestamps=raw");
    config.trace = true;
    config.show = args.show;
    let mut machine = Machine::start_bochs(&kit, name, config, Model::Haswell)?;
    let logs = kit.logs().join(name);
    step::say(format!("measuring; the console's log is in {}", logs.display()));
    machine.expect("domain 0 shut down (reason 0)", PATIENCE).with_context(|| machine.last_words())?;
    drop(machine);
    for figure in log::figures(&fs::read_to_string(logs.join("console.log"))?) {
        println!("{figure}");
    }
    let trace = fs::read(logs.join("bochs.out"))?;
    for figure in trace::figures(&String::from_utf8_lossy(&trace))? {
        println!("{figure}");
    }
    Ok(())
}

fn measure(machine: &mut Machine) -> Result<String> {
    let verdict = machine.expect("dom0: scenario ", PATIENCE)?;
    machine.expect_end(Duration::from_secs(120))?;
    Ok(verdict.line)
}

fn config(subject: Hypervisor, args: &BenchArgs) -> Config {
    let is_xen = subject == Hypervisor::Xen;
    let scenario = match (is_xen, args.io) {
        (false, false) => "tenon.run=bench",
        (true, false) => "tenon.tools=stock tenon.run=bench-xl",
        (false, true) => "tenon.run=bench-io",
        (true, true) => "tenon.tools=stock tenon.run=bench-io-xl",
    };
    let mut config =
        Config::new(1).option("console_timestamps=raw guest_loglvl=all").word("marks=1").word(scenario);
    config.icount = Some(0);
    config.agent = false;
    config.show = args.show;
    if is_xen {
        config.hypervisor = Hypervisor::Xen;
        config = config.stock_tools();
    }
    config
}

/// Debian's Xen as an ELF file that QEMU loads.
fn stock_xen(ws: &Workspace) -> Result<PathBuf> {
    let dir = ws.cache().join("xen");
    let apt = Apt::open(&ws.cache(), Arch::Amd64)?;
    apt.unpack("xen-hypervisor-4.17-amd64", &dir)?;
    let packed = dir.join("boot/xen-4.17-amd64.gz");
    let elf = dir.join("xen");
    gunzip(&packed, &elf)?;
    Ok(elf)
}

fn gunzip(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("gzip").arg("-dc").arg(from).output().context("cannot start gzip")?;
    ensure!(output.status.success(), "gzip cannot unpack {}", from.display());
    crate::build::write(to, &output.stdout)
}

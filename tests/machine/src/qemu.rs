//! Starting a machine under QEMU, and the sockets that connect its lines to us.

use std::fs;
use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::channel::{Channel, Event, Line};
use crate::config::{Boot, Config, Disk, Hypervisor, Images, Iommu};
use crate::machine::Machine;

/// Where Debian's ovmf package puts the firmware.
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// QEMU connects its sockets before the machine runs.
const CONNECT: Duration = Duration::from_secs(20);

pub(crate) fn start(images: &dyn Images, name: &str, config: Config) -> Result<Machine> {
    let logs = images.logs().join(name);
    fs::create_dir_all(&logs)?;
    let scratch = scratch()?;
    let mut command = command(images, name, &config, &scratch)?;
    let lines = [Line::Console, Line::Agent, Line::Monitor];
    let listeners = lines.map(|line| listen(&mut command, line, &scratch));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(logs.join("qemu.log"))?);
    fs::write(logs.join("command"), format!("{command:?}\n"))?;
    let mut emulator = command.spawn().context("cannot start qemu-system-x86_64")?;
    let (sender, events) = mpsc::channel();
    let mut connected = Vec::new();
    for (line, listener) in lines.into_iter().zip(listeners) {
        match connect(line, &listener?, &mut emulator, &logs, sender.clone()) {
            Ok(channel) => connected.push(channel),
            Err(error) => {
                let _ = emulator.kill();
                let _ = emulator.wait();
                return Err(error);
            }
        }
    }
    let [console, agent, monitor] =
        <[Channel; 3]>::try_from(connected).ok().context("three lines give three channels")?;
    Ok(Machine {
        name: name.to_owned(),
        config,
        emulator,
        events,
        console,
        agent: Some(agent),
        monitor: Some(monitor),
        scratch,
        ended: false,
        fatal: None,
        stuck: None,
        may_die: false,
    })
}

fn command(images: &dyn Images, name: &str, config: &Config, scratch: &Path) -> Result<Command> {
    let mut command = dying_with_us("qemu-system-x86_64");
    // MONITOR without a correct MWAIT, and RDTSCP with RDTSC's exit code, are faults of the emulator.
    command.args(["-machine", "q35", "-accel", "tcg", "-cpu", "EPYC,-monitor,-rdtscp"]);
    command.args(["-nodefaults", "-vga", "std", "-display", "none", "-no-reboot"]);
    command.arg("-smp").arg(format!("{},threads={}", config.machine_cpus(), config.threads));
    command.arg("-m").arg(config.memory_mib.to_string());
    if let Some(shift) = config.icount {
        command.arg("-icount").arg(format!("shift={shift},sleep=off"));
    }
    match config.iommu {
        Some(Iommu::Intel) => drop(command.args(["-device", "intel-iommu,intremap=on"])),
        Some(Iommu::Amd) => drop(command.args(["-device", "amd-iommu"])),
        None if config.hypervisor == Hypervisor::Xen => {
            command.args(["-device", "intel-iommu,intremap=on"]);
        }
        None => {}
    }
    match config.boot {
        Boot::Direct => {
            command.arg("-kernel").arg(images.hypervisor(config.hypervisor)?);
            command.arg("-append").arg(config.hypervisor_options());
            command.arg("-initrd").arg(modules(images, config)?);
        }
        Boot::Bios | Boot::Uefi => {
            let iso = images.iso(name, config)?;
            command
                .arg("-drive")
                .arg(format!("file={},if=none,id=cd,media=cdrom,readonly=on", iso.display()));
            command.args(["-device", "ide-cd,drive=cd,bootindex=0"]);
        }
    }
    if config.boot == Boot::Uefi {
        let variables = scratch.join("vars.fd");
        fs::copy(OVMF_VARS, &variables).with_context(|| format!("cannot copy {OVMF_VARS} (package ovmf)"))?;
        command.arg("-drive").arg(format!("if=pflash,format=raw,readonly=on,file={OVMF_CODE}"));
        command.arg("-drive").arg(format!("if=pflash,format=raw,file={}", variables.display()));
    }
    for (number, disk) in config.disks.iter().enumerate() {
        add_disk(&mut command, number, *disk, config, scratch)?;
    }
    if config.debian {
        let disk = images.debian_disk()?;
        command
            .arg("-drive")
            .arg(format!("file={},if=none,id=debian,format=raw,snapshot=on", disk.display()));
        command.args(["-device", "virtio-blk-pci,disable-legacy=on,drive=debian"]);
    }
    command.args(&config.qemu_args);
    Ok(command)
}

fn add_disk(command: &mut Command, number: usize, disk: Disk, config: &Config, scratch: &Path) -> Result<()> {
    let path = scratch.join(format!("disk{number}"));
    File::create(&path)?.set_len(64 << 20)?;
    command
        .arg("-drive")
        .arg(format!("file={},if=none,id=disk{number},format=raw,cache=unsafe", path.display()));
    let device = match disk {
        Disk::VirtioBlk => format!("virtio-blk-pci,{}", config.virtio()),
        Disk::Ahci => "ide-hd".to_owned(),
        Disk::Nvme => "nvme,serial=tenon".to_owned(),
    };
    command.arg("-device").arg(format!("{device},drive=disk{number}"));
    Ok(())
}

/// A command that gets killed when we end, however we end.
pub(crate) fn dying_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Domain 0's files, as `-initrd` takes modules: separated by commas, each with its command line.
fn modules(images: &dyn Images, config: &Config) -> Result<String> {
    // The commas of a command line end a module's text unless they are doubled.
    if let Some(program) = config.program {
        let words = config.cmdline.trim().replace(',', ",,");
        return Ok(format!("{} {words}", images.program(program).display()));
    }
    let dom0 = images.dom0(config)?;
    let (kernel, initrd) = (dom0.kernel.display(), dom0.initrd.display());
    let cmdline = config.kernel_cmdline().replace(',', ",,");
    Ok(format!("{kernel} {cmdline},{initrd}"))
}

/// A directory with a short name: the path of a socket has at most 107 bytes.
pub(crate) fn scratch() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("tenon-{}-{count}", std::process::id()));
    fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

fn listen(command: &mut Command, line: Line, scratch: &Path) -> Result<UnixListener> {
    let id = format!("{line:?}").to_lowercase();
    let path = scratch.join(&id);
    let listener = UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    command.arg("-chardev").arg(format!("socket,id={id},path={}", path.display()));
    match line {
        Line::Console | Line::Agent => command.arg("-serial").arg(format!("chardev:{id}")),
        Line::Monitor => command.arg("-mon").arg(format!("chardev={id},mode=readline")),
    };
    Ok(listener)
}

fn connect(
    line: Line,
    listener: &UnixListener,
    emulator: &mut Child,
    logs: &Path,
    events: Sender<Event>,
) -> Result<Channel> {
    let stream = accept(listener, emulator)?;
    let log = logs.join(format!("{line:?}.log").to_lowercase());
    Channel::start(line, stream.try_clone()?, stream, &log, events)
}

/// Accepts QEMU's connection; there is no call that waits for it and for QEMU's end at once.
fn accept(listener: &UnixListener, emulator: &mut Child) -> Result<UnixStream> {
    let deadline = Instant::now() + CONNECT;
    while Instant::now() < deadline {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false)?;
            return Ok(stream);
        }
        if let Some(status) = emulator.try_wait()? {
            bail!("QEMU ended at once ({status}); see qemu.log");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("QEMU did not connect its sockets")
}

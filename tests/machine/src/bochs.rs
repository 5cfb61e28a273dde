//! Starting a machine under Bochs: VT-x, which QEMU does not emulate, and AMD-V as others understand it. One serial line.

use std::fs;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::channel::{Channel, Line};
use crate::config::{Config, Images, Model};
use crate::machine::Machine;
use crate::qemu;

const CONNECT: Duration = Duration::from_secs(20);

pub(crate) fn start(images: &dyn Images, name: &str, config: Config, model: Model) -> Result<Machine> {
    let logs = images.logs().join(name);
    fs::create_dir_all(&logs)?;
    let scratch = qemu::scratch()?;
    let iso = images.iso(name, &config)?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    fs::write(scratch.join("bochsrc"), configuration(&config, model, &iso, port, &logs))?;
    // Debian's Bochs starts in its debugger: let it go on. It comes back there at each mark.
    let commands = if config.trace { "c\ntrace on\nc\ntrace off\nc\n" } else { "c\n" };
    fs::write(scratch.join("go"), commands)?;
    let mut emulator = qemu::dying_with_us("bochs")
        .args(["-q", "-f", "bochsrc", "-rc", "go"])
        .current_dir(&scratch)
        .stdin(Stdio::null())
        .stdout(File::create(logs.join("bochs.out"))?)
        .stderr(File::create(logs.join("bochs.err"))?)
        .spawn()
        .context("cannot start bochs")?;
    let (sender, events) = mpsc::channel();
    let stream = accept(&listener, &mut emulator)?;
    let console =
        Channel::start(Line::Console, stream.try_clone()?, stream, &logs.join("console.log"), sender)?;
    Ok(Machine {
        name: name.to_owned(),
        config,
        emulator,
        events,
        console,
        agent: None,
        monitor: None,
        scratch,
        ended: false,
        fatal: None,
        stuck: None,
        may_die: false,
    })
}

/// Without sound devices of the host: opening ALSA where there is none ends Bochs.
fn configuration(config: &Config, model: Model, iso: &Path, port: u16, logs: &Path) -> String {
    let (model, cpus, memory) = (model.name(), config.machine_cpus(), config.memory_mib);
    let (iso, log) = (iso.display(), logs.join("bochs.log"));
    format!(
        "display_library: rfb, options=\"timeout=0\"\n\
         romimage: file=/usr/share/seabios/bios-256k.bin\n\
         vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n\
         memory: guest={memory}, host={memory}\n\
         cpu: model={model}, count={cpus}, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1\n\
         clock: sync=none, time0=utc\n\
         ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n\
         ata0-master: type=cdrom, path={iso}, status=inserted\n\
         boot: cdrom\n\
         com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}\n\
         log: {}\n\
         panic: action=fatal\n\
         pci: enabled=1, chipset=i440fx\n\
         sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy\n\
         speaker: enabled=1, mode=system\n\
         magic_break: enabled={}\n",
        log.display(),
        u8::from(config.trace)
    )
}

fn accept(listener: &TcpListener, emulator: &mut Child) -> Result<TcpStream> {
    let deadline = Instant::now() + CONNECT;
    while Instant::now() < deadline {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false)?;
            return Ok(stream);
        }
        if let Some(status) = emulator.try_wait()? {
            bail!("Bochs ended at once ({status}); see bochs.out");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = emulator.kill();
    let _ = emulator.wait();
    bail!("Bochs did not connect its serial line")
}
